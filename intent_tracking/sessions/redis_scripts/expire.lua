local old = '(' .. ARGV[1]
for _, event in ipairs(redis.call('ZRANGEBYSCORE', key('claimed'), '-inf', old)) do
  redis.call('HDEL', key('claim'), event)
end
redis.call('ZREMRANGEBYSCORE', key('claimed'), '-inf', old)
local numbers = redis.call('ZRANGEBYSCORE', key('activity'), '-inf', old, 'LIMIT', 0, ARGV[2])
for _, number in ipairs(numbers) do forget(number) end
return #numbers
