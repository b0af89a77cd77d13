"""What Redis does for PushBook, in Lua. Which keys there are: lightpush_pushes_redis.py."""

_SHARED = """
local P = ARGV[1]
local function key(kind, ...) return table.concat({P, kind, ...}, ':') end
local function push_key(ns, id) return key('push', ns, id) end

-- Redis may forget it a minute after `at` ms, or later: what has expired is told by callers, whose clocks may differ
local function keep_until(name, at)
  at = at + 60000
  local time = redis.call('TIME')
  local left = at - (time[1] * 1000 + time[2] / 1000)
  if redis.call('PTTL', name) < left then
    redis.call('PEXPIREAT', name, string.format('%.0f', at))
  end
end
local function is_alive(ns, id, now)
  return (tonumber(redis.call('HGET', push_key(ns, id), 'expires_at')) or 0) > now
end
-- take what has expired out of a namespace's index
local function prune(ns, now)
  local ends = key('ends', ns)
  local gone = redis.call('ZRANGEBYSCORE', ends, '-inf', now, 'LIMIT', 0, 1000)
  if #gone > 0 then
    redis.call('ZREM', ends, unpack(gone))
    redis.call('ZREM', key('index', ns), unpack(gone))
  end
  return #gone
end
-- the first job of a namespace tells when it has a turn
local function set_turn(ns)
  local first = redis.call('ZRANGE', key('jobs', ns), 0, 0, 'WITHSCORES')
  if #first > 0 then
    redis.call('ZADD', key('jobs'), first[2], ns)
  else
    redis.call('ZREM', key('jobs'), ns)
  end
end
local function put_job(ns, id, due)
  redis.call('ZADD', key('jobs', ns), due, id)
  set_turn(ns)
end
local function drop_job(ns, id)
  redis.call('ZREM', key('jobs', ns), id)
  redis.call('DEL', key('job', ns, id))
  set_turn(ns)
end
"""

CREATE = (
    _SHARED
    + """
local function count(ns, unit, length, kept, bucket)
  local stat, at = key('stat', ns, unit), tonumber(bucket)
  redis.call('HINCRBY', stat, bucket, 1)
  keep_until(stat, (at + kept) * length)
  if redis.call('HLEN', stat) > 2 * kept then
    for _, old in ipairs(redis.call('HKEYS', stat)) do
      if tonumber(old) <= at - kept then redis.call('HDEL', stat, old) end
    end
  end
end

local function create(ns, sent, expires, due, minute, hour, day, fields)
  local id = tostring(redis.call('INCR', key('push_id')))
  local push, ends = push_key(ns, id), tonumber(expires)
  redis.call('HSET', push, unpack(fields))
  keep_until(push, ends)
  repeat until prune(ns, tonumber(sent)) < 1000
  redis.call('ZADD', key('index', ns), id, id)
  redis.call('ZADD', key('ends', ns), expires, id)
  keep_until(key('index', ns), ends)
  keep_until(key('ends', ns), ends)
  count(ns, 'minute', 60000, 60, minute)
  count(ns, 'hour', 3600000, 24, hour)
  count(ns, 'day', 86400000, 100, day)
  if due ~= '' then
    put_job(ns, id, due)
    keep_until(key('jobs', ns), ends)
    redis.call('HSET', key('job', ns, id), 'attempts', 0, 'lease', '', 'cursor', '')
    keep_until(key('job', ns, id), ends)
  end
  return id
end

local ids = {}
for at, one in ipairs(cjson.decode(ARGV[2])) do ids[at] = create(unpack(one)) end
return ids
"""
)
"""Pushes as JSON, all of it texts: [namespace, sent, expires, due or "", minute, hour, day, [name, value, ...]].
Their ids."""

HISTORY = (
    _SHARED
    + """
local ns, now, offset, limit = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
repeat until prune(ns, now) < 1000
local found = {}
for at, id in ipairs(redis.call('ZREVRANGE', key('index', ns), offset, offset + limit - 1)) do
  found[at] = {id, redis.call('HGETALL', push_key(ns, id))}
end
return found
"""
)
"""Namespace, now, offset, limit: pairs of an id and its fields."""

ACKNOWLEDGE = (
    _SHARED
    + """
local now, new = tonumber(ARGV[2]), 0
for _, group in ipairs(cjson.decode(ARGV[3])) do
  local ns, id, kind, clients = group[1], string.format('%.0f', group[2]), group[3], group[4]
  if is_alive(ns, id, now) then
    local acks, push = key('acks', ns, id, kind), push_key(ns, id)
    local added = redis.call('SADD', acks, unpack(clients))
    if added > 0 then
      keep_until(acks, tonumber(redis.call('HGET', push, 'expires_at')))
      redis.call('HINCRBY', push, 'acks', added)
      if kind ~= 'web' then redis.call('HINCRBY', push, kind .. '_acks', added) end
      new = new + added
    end
  end
end
return new
"""
)
"""Now, and groups as JSON: [namespace, id, platform, [clients]]. How many were new."""

TALLY = (
    _SHARED
    + """
local done, number = key('tally', ARGV[2]), tonumber(ARGV[3])
if (tonumber(redis.call('GET', done)) or -1) >= number then return 0 end
redis.call('SET', done, ARGV[3], 'EX', 86400)
for _, one in ipairs(cjson.decode(ARGV[4])) do
  local push = push_key(one[1], string.format('%.0f', one[2]))
  if redis.call('EXISTS', push) == 1 then redis.call('HINCRBY', push, 'online_clients', one[3]) end
end
return 1
"""
)
"""Process, number, and counts as JSON: [namespace, id, frames]."""

PUT = (
    _SHARED
    + """
local ns, id, now, most = ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
if not is_alive(ns, id, now) then return 0 end
local expires = tonumber(redis.call('HGET', push_key(ns, id), 'expires_at'))
for at = 6, #ARGV do
  local inbox = key('inbox', ns, ARGV[at])
  redis.call('ZREMRANGEBYSCORE', inbox, '-inf', now)
  redis.call('ZADD', inbox, expires, id)
  keep_until(inbox, expires)
  redis.call('SADD', key('inboxes', ns), ARGV[at])
  local surplus = redis.call('ZCARD', inbox) - most
  if surplus > 0 then
    local ids = redis.call('ZRANGE', inbox, 0, -1)
    table.sort(ids, function(a, b) return tonumber(a) < tonumber(b) end)
    for at = 1, surplus do redis.call('ZREM', inbox, ids[at]) end
  end
end
keep_until(key('inboxes', ns), expires)
return 1
"""
)
"""Namespace, push id, now, how many an inbox holds, then clients."""

TAKE = (
    _SHARED
    + """
local ns, client, now = ARGV[2], ARGV[3], tonumber(ARGV[4])
local inbox = key('inbox', ns, client)
local ids = redis.call('ZRANGE', inbox, 0, -1)
if #ids == 0 then return {} end
redis.call('DEL', inbox)
redis.call('SREM', key('inboxes', ns), client)
table.sort(ids, function(a, b) return tonumber(a) > tonumber(b) end)
local found = {}
for _, id in ipairs(ids) do
  if is_alive(ns, id, now) then
    found[#found + 1] = {id, redis.call('HGETALL', push_key(ns, id))}
  end
end
return found
"""
)
"""Namespace, client, now: pairs of an id and its fields."""

CLAIM = (
    _SHARED
    + """
local now, lease, limit, last = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5]

-- namespaces that have something due, those behind the last one first
local names = redis.call('ZRANGEBYSCORE', key('jobs'), '-inf', now, 'LIMIT', 0, 1000)
table.sort(names)
local turns, lanes = {}, {}
for _, ns in ipairs(names) do if ns > last then turns[#turns + 1] = ns end end
for _, ns in ipairs(names) do if ns <= last then turns[#turns + 1] = ns end end
for at, ns in ipairs(turns) do
  if at > limit then break end
  lanes[at] = redis.call('ZRANGEBYSCORE', key('jobs', ns), '-inf', now, 'LIMIT', 0, limit)
  if #lanes[at] == 0 then set_turn(ns) end
end

local found, taken = {}, 0
local function claim(ns, id)
  taken, last = taken + 1, ns
  if not is_alive(ns, id, now) then return drop_job(ns, id) end
  local job, token = key('job', ns, id), ARGV[5 + taken]
  put_job(ns, id, string.format('%.0f', now + lease))
  redis.call('HSET', job, 'lease', token)
  found[#found + 1] = {
    id, redis.call('HGETALL', push_key(ns, id)), token,
    redis.call('HINCRBY', job, 'attempts', 1), redis.call('HGET', job, 'cursor') or ''}
end
for lap = 1, limit do
  for at, lane in ipairs(lanes) do
    if taken < limit and lane[lap] then claim(turns[at], lane[lap]) end
  end
end
return {last, found}
"""
)
"""Now, lease, limit, the namespace that had the last turn, and as many tokens: who had it now; and id, fields of
the push, token, attempts and cursor of each."""

_OWN = (
    _SHARED
    + """
local ns, id, token = ARGV[2], ARGV[3], ARGV[4]
local job = key('job', ns, id)
if redis.call('HGET', job, 'lease') ~= token then return 0 end
"""
)

ADVANCE = (
    _OWN
    + """
local push, note = push_key(ns, id), ARGV[9]
put_job(ns, id, ARGV[5])
redis.call('HSET', job, 'cursor', ARGV[6])
if redis.call('EXISTS', push) == 0 then return 1 end
redis.call('HINCRBY', push, 'apns_count', ARGV[7])
redis.call('HINCRBY', push, 'apns_success_count', ARGV[8])
if note ~= '' then
  local before = redis.call('HGET', push, 'result')
  local text = before and (before .. ARGV[10] .. note) or note
  if #text <= tonumber(ARGV[11]) then redis.call('HSET', push, 'result', text) end
end
return 1
"""
)
"""Namespace, id, token, until, cursor, two counts, note, what stands between notes, bytes of all: 1 if it is one's own."""

POSTPONE = (
    _OWN
    + """
put_job(ns, id, ARGV[5])
redis.call('HSET', job, 'lease', '')
return 1
"""
)
"""Namespace, id, token, until: 1 if it was one's own."""

FINISH = (
    _OWN
    + """
drop_job(ns, id)
return 1
"""
)
"""Namespace, id, token: 1 if it was one's own."""

FORGET_INBOXES = (
    _SHARED
    + """
for at = 3, #ARGV do
  redis.call('DEL', key('inbox', ARGV[2], ARGV[at]))
  redis.call('SREM', key('inboxes', ARGV[2]), ARGV[at])
end
return 0
"""
)
"""Namespace, then clients."""

CLEAR = (
    _SHARED
    + """
local ns, limit = ARGV[2], tonumber(ARGV[3])
local ids = redis.call('ZRANGE', key('index', ns), 0, limit - 1)
for _, id in ipairs(ids) do
  drop_job(ns, id)
  redis.call('DEL', push_key(ns, id), key('acks', ns, id, 'web'), key('acks', ns, id, 'ios'),
             key('acks', ns, id, 'android'))
  redis.call('ZREM', key('index', ns), id)
  redis.call('ZREM', key('ends', ns), id)
end
local clients = redis.call('SPOP', key('inboxes', ns), limit)
for _, client in ipairs(clients) do redis.call('DEL', key('inbox', ns, client)) end
if ARGV[4] == '1' then
  redis.call('DEL', key('stat', ns, 'minute'), key('stat', ns, 'hour'), key('stat', ns, 'day'))
end
return #ids + #clients
"""
)
"""Namespace, how many at most, "1" = counters too: how many went."""
