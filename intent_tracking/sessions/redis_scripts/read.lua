local found = {}
for i, id in ipairs(ARGV) do
  local number = redis.call('HGET', key('session'), id)
  found[i] = number and session(number) or {}
end
return found
