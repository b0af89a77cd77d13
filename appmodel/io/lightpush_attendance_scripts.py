"""What Redis does for Attendance, in Lua. Which keys there are: lightpush_attendance_redis.py."""

_SHARED = """
local P = ARGV[1]
local function key(kind, ...) return table.concat({P, kind, ...}, ':') end
local function down(hash, field)
  if redis.call('HINCRBY', hash, field, -1) <= 0 then redis.call('HDEL', hash, field) end
end
local function is_user_room(room) return string.lower(string.sub(room, 1, 5)) == 'user_' end

-- whether another process has the client, or has it in the room
local function is_elsewhere(process, field, room)
  for _, other in ipairs(redis.call('SMEMBERS', key('processes'))) do
    if other ~= process then
      local found = redis.call('HGET', key('at', other), field)
      if found and (not room or cjson.decode(found).r[room]) then return true end
    end
  end
  return false
end

local function enter(ns, client, room, one)
  local who = one.p .. ' ' .. one.u
  if redis.call('HSETNX', key('room', ns, room), client, who) == 0 then return end
  redis.call('HINCRBY', key('kinds', ns, room), one.p, 1)
  redis.call('HINCRBY', key('roomusers', ns, room), one.u, 1)
  if not is_user_room(room) then redis.call('SADD', key('rooms', ns), room) end
end

local function leave(process, ns, client, room)
  if is_elsewhere(process, ns .. ' ' .. client, room) then return end
  local seats = key('room', ns, room)
  local who = redis.call('HGET', seats, client)
  if not who then return end
  redis.call('HDEL', seats, client)
  local kind, user = string.match(who, '^(%S+) (.*)$')
  down(key('kinds', ns, room), kind)
  down(key('roomusers', ns, room), user)
  if redis.call('EXISTS', seats) == 0 then redis.call('SREM', key('rooms', ns), room) end
end

local function load(process, ns, client)
  local found = redis.call('HGET', key('at', process), ns .. ' ' .. client)
  return found and cjson.decode(found)
end
local function store(process, ns, client, one)
  redis.call('HSET', key('at', process), ns .. ' ' .. client, cjson.encode(one))
end

local function go(process, ns, client)
  local one = load(process, ns, client)
  if not one then return end
  local field = ns .. ' ' .. client
  redis.call('HDEL', key('at', process), field)
  redis.call('ZREM', key('order', process), field)
  for room in pairs(one.r) do
    redis.call('HINCRBY', key('seats'), process, -1)
    leave(process, ns, client, room)
  end
  if not is_elsewhere(process, field) then
    local user = redis.call('HGET', key('clients', ns), client)
    redis.call('HDEL', key('clients', ns), client)
    if user then down(key('users', ns), user) end
    if redis.call('EXISTS', key('clients', ns)) == 0 then redis.call('SREM', key('namespaces'), ns) end
  end
  if redis.call('EXISTS', key('at', process)) == 0 then
    redis.call('SREM', key('processes'), process)
    redis.call('HDEL', key('seats'), process)
  end
end
"""

RECORD = (
    _SHARED
    + """
local process, news = ARGV[2], cjson.decode(ARGV[3])
for _, it in ipairs(news.went) do go(process, it[1], it[2]) end
for _, it in ipairs(news.came) do
  local ns, client, user, kind, at = unpack(it)
  local one = load(process, ns, client) or {r = {}}
  one.u, one.p, one.t = user, kind, at
  store(process, ns, client, one)
  redis.call('ZADD', key('order', process), 0, ns .. ' ' .. client)
  redis.call('SADD', key('processes'), process)
  if redis.call('HSETNX', key('clients', ns), client, user) == 1 then
    redis.call('HINCRBY', key('users', ns), user, 1)
    redis.call('SADD', key('namespaces'), ns)
  end
end
for _, it in ipairs(news.left) do
  local ns, room, client = unpack(it)
  local one = load(process, ns, client)
  if one and one.r[room] then
    one.r[room] = nil
    store(process, ns, client, one)
    redis.call('HINCRBY', key('seats'), process, -1)
    leave(process, ns, client, room)
  end
end
for _, it in ipairs(news.joined) do
  local ns, room, client = unpack(it)
  local one = load(process, ns, client)
  if one and not one.r[room] then
    one.r[room] = 1
    store(process, ns, client, one)
    redis.call('HINCRBY', key('seats'), process, 1)
    enter(ns, client, room, one)
  end
end
"""
)
"""Process, news as JSON."""

CLEAR = (
    _SHARED
    + """
local ns, limit, gone = ARGV[2], tonumber(ARGV[3]), 0
for _, process in ipairs(redis.call('SMEMBERS', key('processes'))) do
  local fields = redis.call(
    'ZRANGEBYLEX', key('order', process), '[' .. ns .. ' ', '(' .. ns .. '!', 'LIMIT', 0, limit - gone)
  for _, field in ipairs(fields) do go(process, ns, string.sub(field, #ns + 2)) end
  gone = gone + #fields
  if gone >= limit then break end
end
return gone
"""
)
"""Namespace, how many at most: how many clients went."""

PRESENT_AT = """
local P, process, after, limit = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local fields = redis.call(
  'ZRANGEBYLEX', P .. ':order:' .. process, '(' .. after, ARGV[5], 'LIMIT', 0, limit)
local found = {}
for at, field in ipairs(fields) do
  found[at] = {field, redis.call('HGET', P .. ':at:' .. process, field)}
end
return found
"""
"""Process, behind which "namespace client", how many, up to what: pairs of that and what is kept of it."""
