local numbers = redis.call('ZRANGE', key('user', ARGV[1]), 0, -1)
local seen = {}
for i = 1, #numbers do
  for _, device in ipairs(redis.call('SMEMBERS', key('devices', numbers[i]))) do
    if not seen[device] then
      seen[device] = true
      for _, number in ipairs(redis.call('ZRANGE', key('device', device), 0, -1)) do numbers[#numbers + 1] = number end
    end
  end
end
local events = 0
for _, number in ipairs(numbers) do events = events + forget(number) end
return {#numbers, events}
