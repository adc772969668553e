for i = 2, #ARGV do
  if redis.call('HGET', key('claim'), ARGV[i]) == ARGV[1] then
    redis.call('HDEL', key('claim'), ARGV[i])
    redis.call('ZREM', key('claimed'), ARGV[i])
  end
end
return 0
