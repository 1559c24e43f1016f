-- A topic's position. A topic without one gets an epoch, so that "nothing yet" has a position too;
-- one that is behind what the caller saw has lost its past and gets a new epoch.
--
-- KEYS  1 topic's position  2 topic's history
-- ARGV  1 epoch to begin with if one is needed  2, 3 epoch and offset that the caller saw last
--       4 the life of a position before the first publication, ms; asking again renews it
-- Returns {epoch, offset}. A server that is full writes nothing, and somebody else's key is left alone:
-- what there is is returned, else 0 and 0, because the other topics must go on.

local meta = redis.pcall('HMGET', KEYS[1], 'e', 'o')
if meta.err then return {0, 0} end
local e, o = tonumber(meta[1] or ''), tonumber(meta[2] or '')
if e and not (e == tonumber(ARGV[2]) and o < tonumber(ARGV[3])) then
    if o == 0 then redis.pcall('PEXPIRE', KEYS[1], ARGV[4]) end
    return {e, o}
end
local written = redis.pcall('HSET', KEYS[1], 'e', ARGV[1], 'o', '0')
if type(written) == 'table' and written.err then return {e or 0, o or 0} end
redis.call('DEL', KEYS[2])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return {tonumber(ARGV[1]), 0}
