-- A topic's position and what is kept of it, at one moment.
--
-- KEYS  1 topic's position  2 topic's history
-- ARGV  1, 2 epoch and offset to read after; of another epoch, or empty: from the beginning
--       3 publications at most
-- Returns {epoch, offset, id, payload, id, payload, ...}; ids are <offset>-<partition's sequence>.

local meta = redis.call('HMGET', KEYS[1], 'e', 'o')
local e, o = tonumber(meta[1] or ''), tonumber(meta[2] or '')
if not e then return {0, 0} end
local from = 1
if e == tonumber(ARGV[1]) then from = tonumber(ARGV[2]) + 1 end
local answer = {e, o}
local kept = redis.call('XRANGE', KEYS[2], string.format('%.0f-0', from), '+', 'COUNT', ARGV[3])
for _, entry in ipairs(kept) do
    answer[#answer + 1] = entry[1]
    answer[#answer + 1] = entry[2][2]
end
return answer
