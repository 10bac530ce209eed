-- Removes a bounded number of finished hints: the id, its data and its description.
-- KEYS: set of finished ids, data hash. ARGV: prefix of the descriptions, most to remove. Returns how many were removed.
local ids = redis.call('spop', KEYS[1], ARGV[2])
for _, id in ipairs(ids) do
  redis.call('hdel', KEYS[2], id)
  redis.call('del', ARGV[1] .. ':' .. id)
end
return #ids
