local newest = redis.call('ZREVRANGE', key('user', ARGV[1]), 0, 0)[1]
return newest and session(newest) or {}
