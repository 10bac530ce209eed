-- How many hints wait, and how many are with a worker.
-- KEYS: scheduled zset, active list, workers zset. ARGV: prefix of the in-flight sets.
local running = 0
for _, worker in ipairs(redis.call('zrange', KEYS[3], 0, -1)) do
  running = running + redis.call('scard', ARGV[1] .. ':' .. worker)
end
return {redis.call('zcard', KEYS[1]) + redis.call('llen', KEYS[2]), running, redis.call('zcard', KEYS[1])}
