-- A partition's position, this server's clock, and the topics published since a sequence. A partition
-- without a position, or behind what the caller saw, has lost its past and gets a new epoch.
--
-- KEYS  1 partition's position  2 partition's recent topics
-- ARGV  1 epoch to begin with if one is needed  2, 3 epoch and sequence that the caller saw last
--       4 the partition's life, ms  5 '1' to list topics
-- Returns {ms, epoch, sequence, 1 when no topic is missing, topic, topic, ...}.

local part = redis.call('HMGET', KEYS[1], 'e', 's', 'f')
local e, s, floor = tonumber(part[1] or ''), tonumber(part[2] or ''), tonumber(part[3] or '0')
local seen_e, seen_s = tonumber(ARGV[2]), tonumber(ARGV[3])
if not e or (e == seen_e and s < seen_s) then
    e, s, floor = tonumber(ARGV[1]), 0, 0
    redis.call('DEL', KEYS[1], KEYS[2])
    -- A server that is full writes nothing; receiving must go on.
    redis.pcall('HSET', KEYS[1], 'e', ARGV[1], 's', '0')
end
redis.call('PEXPIRE', KEYS[1], ARGV[4])
redis.call('PEXPIRE', KEYS[2], ARGV[4])

local time = redis.call('TIME')
local since = 0
if e == seen_e then since = seen_s end
local answer = {time[1] * 1000 + math.floor(time[2] / 1000), e, s, since >= floor and 1 or 0}
if ARGV[5] == '1' and since < s then
    local from = string.format('(%.0f', since)
    for _, topic in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], from, '+inf')) do
        answer[#answer + 1] = topic
    end
end
return answer
