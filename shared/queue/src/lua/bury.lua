-- Removes the traces of an ended worker. One that still holds hints stays listed, so that they are given out again.
-- KEYS: workers zset, its in-flight set, its description. ARGV: its name.
redis.call('del', KEYS[3])
if redis.call('scard', KEYS[2]) == 0 then
  redis.call('zrem', KEYS[1], ARGV[1])
end
return 1
