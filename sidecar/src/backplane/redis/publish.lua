-- Publishes one message in its partition's slot: numbers it, keeps it, sends it to both channels.
-- All effects or none: every refusal comes before the first write.
--
-- KEYS  1 topic's position  2 topic's history  3 partition's position  4 partition's recent topics
--       5 publisher's window  6 topic's channel  7 partition's firehose  8 idempotency record, or none
-- ARGV  1 topic  2 payload  3 window place  4 use of that place  5 deadline, ms of this server's clock
--       6 epoch to begin with if one is needed  7, 8 epoch and offset that the caller saw last
--       9 partition's epoch when this publish was first sent, empty on the first attempt
--       10, 11 epoch and sequence of the partition that the caller saw last
--       12 history's size  13 its life, ms  14 the position's life, ms  15 the window's life, ms
--       16 the partition's life, ms
-- Returns {what happened, epoch, offset, partition's epoch, partition's sequence}.

local use = tonumber(ARGV[4])
local mark = redis.call('HGET', KEYS[5], ARGV[3])
if mark then
    local used, e, o = struct.unpack('>I8I4I8', mark)
    if used == use then return {'again', e, o} end
    if used > use then return {'stale'} end
end
if KEYS[8] then
    local first = redis.call('GET', KEYS[8])
    if first then
        local e, o = struct.unpack('>I4I8', first)
        return {'duplicate', e, o}
    end
end

local fresh = tonumber(ARGV[6])
local part = redis.call('HMGET', KEYS[3], 'e', 's')
local pe, ps = tonumber(part[1] or ''), tonumber(part[2] or '')
if pe and pe == tonumber(ARGV[10]) and ps < tonumber(ARGV[11]) then pe = nil end
if ARGV[9] ~= '' and pe ~= tonumber(ARGV[9]) then return {'unsure'} end

local time = redis.call('TIME')
if time[1] * 1000 + math.floor(time[2] / 1000) > tonumber(ARGV[5]) then return {'expired'} end

if not pe then
    pe, ps = fresh, 0
    redis.call('DEL', KEYS[3], KEYS[4])
end
local meta = redis.call('HMGET', KEYS[1], 'e', 'o')
local e, o = tonumber(meta[1] or ''), tonumber(meta[2] or '')
if not e or (e == tonumber(ARGV[7]) and o < tonumber(ARGV[8])) then
    e, o = fresh, 0
    redis.call('DEL', KEYS[2])
end
o, ps = o + 1, ps + 1

local size = tonumber(ARGV[12])
if size > 0 then
    local id = string.format('%.0f-%.0f', o, ps)
    redis.call('XADD', KEYS[2], 'MAXLEN', '~', size, id, 'p', ARGV[2])
    redis.call('PEXPIRE', KEYS[2], ARGV[13])
else
    redis.call('DEL', KEYS[2])
end
redis.call('HSET', KEYS[1], 'e', string.format('%.0f', e), 'o', string.format('%.0f', o))
redis.call('PEXPIRE', KEYS[1], ARGV[14])

redis.call('HSET', KEYS[3], 'e', string.format('%.0f', pe), 's', string.format('%.0f', ps))
redis.call('ZADD', KEYS[4], ps, ARGV[1])
if ps % 256 == 1 then
    redis.call('PEXPIRE', KEYS[3], ARGV[16])
    redis.call('PEXPIRE', KEYS[4], ARGV[16])
    -- The newest 16,384 topics are remembered; below the floor the list has holes.
    if redis.call('ZREMRANGEBYRANK', KEYS[4], 0, -16385) > 0 then
        local oldest = redis.call('ZRANGE', KEYS[4], 0, 0, 'WITHSCORES')
        redis.call('HSET', KEYS[3], 'f', string.format('%.0f', oldest[2] - 1))
    end
end

redis.call('HSET', KEYS[5], ARGV[3], struct.pack('>I8I4I8', use, e, o))
redis.call('PEXPIRE', KEYS[5], ARGV[15])
if KEYS[8] then
    redis.call('SET', KEYS[8], struct.pack('>I4I8', e, o), 'PX', ARGV[13])
end

local head = struct.pack('>I1I4I8I4I8I2', 1, e, o, pe, ps, #ARGV[1])
local message = head .. ARGV[1] .. ARGV[2]
redis.call('SPUBLISH', KEYS[6], message)
redis.call('SPUBLISH', KEYS[7], message)
return {'published', e, o, pe, ps}
