-- Keys, all behind the prefix in KEYS[1]. A session has a number; numbers are padded, so that ties sort as numbers do.
--   number            the last number given
--   session           hash: session id -> number
--   event             hash: event id -> number of its session
--   activity          zset: numbers by the time of the newest event
--   of:<n>            hash: id, shopper, given, user, started, last, count
--   ids:<n>           zset: event ids by event time
--   body:<n>          hash: event id -> kept event
--   devices:<n>       set of anonymous ids
--   near:<key>        zset: numbers of one shopper and given id by newest event
--   user:<id>, device:<id>   zset: numbers of a user's sessions, of a device's anonymous ones
--   claim, claimed    hash: event id -> mark; zset: event ids by time of the claim
-- Times are microseconds, below 2^53: exact as numbers, and written with %.0f because Lua would shorten them.
local P = KEYS[1]
local function key(name, part)
  return P .. name .. (part and (':' .. part) or '')
end
local function whole(number)
  return string.format('%.0f', number)
end
local function near_key(shopper, given)
  return key('near', #shopper .. ':' .. shopper .. given)
end
local function owner_key(shopper, user)
  if user ~= '' then return key('user', user) end
  return key('device', string.sub(shopper, #'anonymous:' + 1))
end
local function forget(number)
  local id, shopper, given, user = unpack(redis.call('HMGET', key('of', number), 'id', 'shopper', 'given', 'user'))
  local ids = redis.call('ZRANGE', key('ids', number), 0, -1)
  for _, event in ipairs(ids) do redis.call('HDEL', key('event'), event) end
  redis.call('DEL', key('of', number), key('ids', number), key('body', number), key('devices', number))
  redis.call('HDEL', key('session'), id)
  redis.call('ZREM', key('activity'), number)
  redis.call('ZREM', near_key(shopper, given), number)
  redis.call('ZREM', owner_key(shopper, user), number)
  return #ids
end
local function session(number)
  local found = redis.call('HMGET', key('of', number), 'id', 'shopper', 'user', 'started', 'last', 'count')
  local events = {}
  local bodies = {}
  local pairs_of = redis.call('HGETALL', key('body', number))
  for i = 1, #pairs_of, 2 do bodies[pairs_of[i]] = pairs_of[i + 1] end
  local newest = redis.call('ZRANGE', key('ids', number), -(#pairs_of / 2), -1, 'WITHSCORES')
  for i = 1, #newest, 2 do
    events[#events + 1] = newest[i]
    events[#events + 1] = whole(tonumber(newest[i + 1]))
    events[#events + 1] = bodies[newest[i]]
  end
  found[7] = events
  return found
end
