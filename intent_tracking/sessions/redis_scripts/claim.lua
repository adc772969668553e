local mark, now = ARGV[1], ARGV[2]
local known, held, new = {}, {}, {}
for i = 3, #ARGV do
  local event = ARGV[i]
  local other = redis.call('HGET', key('claim'), event)
  if other then
    held[#held + 1] = event
    held[#held + 1] = other
  end
  if redis.call('HEXISTS', key('event'), event) == 1 then
    known[#known + 1] = event
  else
    new[#new + 1] = event
  end
end
if #held == 0 then
  for _, event in ipairs(new) do
    redis.call('HSET', key('claim'), event, mark)
    redis.call('ZADD', key('claimed'), now, event)
  end
end
return {known, held}
