-- Drops what would stop each worker that meets it. Hints are disposable, so dropping is a repair.
--  * More scheduled hints than one fetch can move: its `unpack` fails from 8,000 on, for every worker, for ever.
--  * An id without its data or description: the fetch that meets it fails, the id is given to the next worker, and so on.
-- KEYS: scheduled zset, active list, workers zset, data hash. ARGV: prefix of the descriptions, of the in-flight sets, most scheduled.
-- Returns how many ids were dropped.
local dropped = 0

local function sound(id)
  return redis.call('hexists', KEYS[4], id) == 1 and redis.call('hexists', ARGV[1] .. ':' .. id, 'max_attempts') == 1
end

local function forget(id)
  redis.call('hdel', KEYS[4], id)
  redis.call('del', ARGV[1] .. ':' .. id)
  dropped = dropped + 1
end

local flooded = redis.call('zcard', KEYS[1]) > tonumber(ARGV[3])
for _, id in ipairs(redis.call('zrange', KEYS[1], 0, -1)) do
  if flooded or not sound(id) then
    redis.call('zrem', KEYS[1], id)
    forget(id)
  end
end

for _, id in ipairs(redis.call('lrange', KEYS[2], 0, -1)) do
  if not sound(id) then
    redis.call('lrem', KEYS[2], 0, id)
    forget(id)
  end
end

for _, worker in ipairs(redis.call('zrange', KEYS[3], 0, -1)) do
  local inflight = ARGV[2] .. ':' .. worker
  for _, id in ipairs(redis.call('smembers', inflight)) do
    if not sound(id) then
      redis.call('srem', inflight, id)
      forget(id)
    end
  end
end

return dropped
