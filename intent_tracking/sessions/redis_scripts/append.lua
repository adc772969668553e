local gap, max_events, max_ids = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local repeats, max_sessions = tonumber(ARGV[4]), tonumber(ARGV[5])

-- The shopper's session that `at` is inside of or near to: of several the one with the newest activity.
local function find(shopper, given, at)
  local near = near_key(shopper, given)
  local newer = redis.call('ZREVRANGEBYSCORE', near, '+inf', whole(at - gap))
  for _, number in ipairs(newer) do
    if tonumber(redis.call('HGET', key('of', number), 'started')) <= at + gap then return number end
  end
end

local function begin(shopper, given, user, at, id, id_where_taken)
  if redis.call('HEXISTS', key('session'), id) == 1 and given ~= '' then id = id_where_taken end
  -- A source may give an id that looks like one of ours.
  while redis.call('HEXISTS', key('session'), id) == 1 do id = id .. '#' end
  local number = string.format('%016.0f', redis.call('INCR', key('number')))
  redis.call('HSET', key('session'), id, number)
  redis.call('HSET', key('of', number), 'id', id, 'shopper', shopper, 'given', given, 'user', user,
    'started', whole(at), 'last', whole(at), 'count', '0')
  redis.call('ZADD', owner_key(shopper, user), whole(at), number)
  return number
end

-- The session without a user that a login of `user` on `device` goes on with: it is the user's then.
local function login(shopper, given, user, device, at)
  if user == '' or device == '' then return end
  local visitor = 'anonymous:' .. device
  local number = find(visitor, given, at)
  if not number then return end
  local started, owner = unpack(redis.call('HMGET', key('of', number), 'started', 'user'))
  if owner ~= '' or at < tonumber(started) then return end
  redis.call('ZREM', near_key(visitor, given), number)
  redis.call('ZREM', owner_key(visitor, ''), number)
  redis.call('HSET', key('of', number), 'shopper', shopper, 'user', user)
  return number
end

local touched, ids, new = {}, {}, {}
for i = 6, #ARGV, 9 do
  local event, shopper, given, user, device = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4]
  local at, body = tonumber(ARGV[i + 5]), ARGV[i + 6]
  local number = redis.call('HGET', key('event'), event)
  new[#new + 1] = number and 0 or 1
  if not number then
    number = find(shopper, given, at) or login(shopper, given, user, device, at)
      or begin(shopper, given, user, at, ARGV[i + 7], ARGV[i + 8])
    touched[number] = true
    local started, last = unpack(redis.call('HMGET', key('of', number), 'started', 'last'))
    last = whole(math.max(at, tonumber(last)))
    redis.call('HSET', key('of', number), 'started', whole(math.min(at, tonumber(started))), 'last', last)
    redis.call('HINCRBY', key('of', number), 'count', 1)
    redis.call('ZADD', near_key(shopper, given), last, number)
    local owner = redis.call('HGET', key('of', number), 'user')
    redis.call('ZADD', owner_key(shopper, owner), last, number)
    redis.call('ZADD', key('activity'), last, number)
    if device ~= '' then redis.call('SADD', key('devices', number), device) end
    redis.call('HSET', key('event'), event, number)
    redis.call('ZADD', key('ids', number), whole(at), event)
    redis.call('HSET', key('body', number), event, body)
  end
  redis.call('HDEL', key('claim'), event)
  redis.call('ZREM', key('claimed'), event)
  ids[#ids + 1] = redis.call('HGET', key('of', number), 'id')
end

for number in pairs(touched) do
  local all = redis.call('ZCARD', key('ids', number))
  if all > max_events then
    local kept = {}
    for _, event in ipairs(redis.call('ZRANGE', key('ids', number), -max_events, -1)) do kept[event] = true end
    for _, event in ipairs(redis.call('HKEYS', key('body', number))) do
      if not kept[event] then redis.call('HDEL', key('body', number), event) end
    end
    -- Ids stay for a while after their event, so that a repeat is still known.
    local last = tonumber(redis.call('HGET', key('of', number), 'last'))
    local old = redis.call('ZCOUNT', key('ids', number), '-inf', '(' .. whole(last - repeats))
    local surplus = math.max(math.min(old, all - max_events), all - max_ids)
    if surplus > 0 then
      for _, event in ipairs(redis.call('ZRANGE', key('ids', number), 0, surplus - 1)) do
        redis.call('HDEL', key('event'), event)
      end
      redis.call('ZREMRANGEBYRANK', key('ids', number), 0, surplus - 1)
    end
  end
end

local surplus = redis.call('ZCARD', key('activity')) - max_sessions
if surplus > 0 then
  for _, number in ipairs(redis.call('ZRANGE', key('activity'), 0, surplus - 1)) do forget(number) end
end
return {ids, new}
