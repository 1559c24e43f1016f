-- Where in a topic's history the publications after a sequence of its partition begin.
--
-- KEYS  1 topic's position  2 topic's history
-- ARGV  1 the partition's sequence
-- Returns {epoch, offset before the first of them, 1 when the history reaches back that far}.

local e = tonumber(redis.call('HGET', KEYS[1], 'e') or '')
if not e then return {0, 0, 0} end
local last = tonumber(ARGV[1])
local before, to = nil, '+'
while true do
    local kept = redis.call('XREVRANGE', KEYS[2], to, '-', 'COUNT', 64)
    for _, entry in ipairs(kept) do
        local o, s = string.match(entry[1], '(%d+)-(%d+)')
        if tonumber(s) <= last then return {e, tonumber(o), 1} end
        before, to = tonumber(o) - 1, '(' .. entry[1]
    end
    if #kept < 64 then break end
end
if before == 0 then return {e, 0, 1} end
return {e, before or 0, 0}
