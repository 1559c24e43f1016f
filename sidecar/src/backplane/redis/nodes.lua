-- The pods whose lease runs. With a name, that pod's lease is renewed first.
--
-- KEYS  1 leases: pod -> when it ends, ms of this server's clock
-- ARGV  1 pod, or empty  2 the lease, ms
-- Returns {pod, ms left, pod, ms left, ...}.

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if ARGV[1] ~= '' then
    -- A server that is full writes nothing; the pod is missing then, but receives.
    redis.pcall('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
    redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
local leases = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
for i = 2, #leases, 2 do leases[i] = leases[i] - now end
return leases
