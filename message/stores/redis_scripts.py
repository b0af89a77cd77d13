"""What must happen at once, in Lua: Redis runs a script alone, and each decides before it writes.

    SAVE       many saves of one bucket: receipts, ids, messages, bodies, marks, feed, depth
    FETCH      a page of a key
    DELETE     messages of a key
    REMEMBER   the first value under a name
    REVOKE     a revocation, at the next position
    FORGET     revocations whose time has passed
    GATHER     what one bucket's feed has new, into the feed of all

An error comes before the first write, so a script that fails has changed nothing. Its first word says
whose fault it is: FOREIGN (a key of ours holds another type), RUNAWAY (an id too far ahead); the
others are Redis' own. Numbers go out by %.0f: Lua's tostring would round them at 14 digits.

A position of a feed is max(last + 1, now in us): so also after a fail-over that has lost the end of the
feed no position is given twice, and a reader that was further never overlooks what came instead.

SAVE's text is redis_save_script.py.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from message.stores.redis_save_script import SAVE_TEXT

Argument = bytes | str | int | float  # a float goes as the text that loses nothing
Command = tuple[Argument, ...]

COMMON = """
local function refuse(reply, key)
  if string.find(reply.err, 'WRONGTYPE', 1, true) then
    return redis.error_reply('FOREIGN ' .. key)
  end
  return reply
end
local function failed(reply) return type(reply) == 'table' and reply.err end
local function expiry(member) return tonumber(string.match(member, '^%S+')) or math.huge end
local function text(number) return string.format('%.0f', number) end
-- of a message: when it expires, its push, how many share the body, its tail or ''; nil if it is not ours
local function parts(member) return string.match(member, '^(%S+) (%d+) (%d+) ?(.*)$') end

-- a message goes before its time, and its body, if it is the last to share it
local function retire(base, member)
  local _, push, keys = parts(member)
  if not push then return end
  local body, live = base .. 'body:' .. push, base .. 'live:' .. push
  if keys == '1' then
    redis.call('DEL', body)
  else
    local left = redis.pcall('DECR', live)
    if type(left) == 'number' and left <= 0 then redis.call('DEL', body, live) end
  end
end

-- the end of a stream whose positions rise; a table if it is of another type
local function last_position(feed)
  local last = redis.pcall('XREVRANGE', feed, '+', '-', 'COUNT', 1)
  if failed(last) then return last end
  return last[1] and tonumber(string.match(last[1][1], '^%d+')) or 0
end
"""

FETCH_TEXT = """
-- KEYS  key      ARGV  after, until, now, messages at most, bytes at most, base
-- gives {id, expires_at, body, tail or '', ..., unreadable, bodies lost}: one more than a page holds
local from, now = '(' .. ARGV[1], tonumber(ARGV[3])
local most, room, chunk = tonumber(ARGV[4]), tonumber(ARGV[5]), math.min(tonumber(ARGV[4]) + 2, 1000)
local page, unreadable, lost, count = {}, 0, 0, 0
while true do
  local found = redis.pcall('ZRANGEBYSCORE', KEYS[1], from, ARGV[2], 'WITHSCORES', 'LIMIT', 0, chunk)
  if failed(found) then return refuse(found, KEYS[1]) end
  for i = 1, #found, 2 do
    local expires, push, _, tail = parts(found[i])
    from = '(' .. found[i + 1]
    if not tonumber(expires) then
      unreadable = unreadable + 1
    elseif tonumber(expires) > now then
      local body = redis.call('GET', ARGV[6] .. 'body:' .. push)
      if body then
        count, room = count + 1, room - #body - #tail
        page[#page + 1] = found[i + 1]
        page[#page + 1] = expires
        page[#page + 1] = body
        page[#page + 1] = tail
      else
        lost = lost + 1
      end
      if count >= most or (room < 0 and count > 1) then break end
    end
  end
  if #found < 2 * chunk or count >= most or (room < 0 and count > 1) then
    page[#page + 1] = unreadable
    page[#page + 1] = lost
    return page
  end
end
"""

DELETE_TEXT = """
-- KEYS  key      ARGV  now, base, 'all' or 'some', ids
-- gives how many there were that had not expired
local alive = 0
local function delete(from, to)
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], from, to)) do
    if expiry(member) > tonumber(ARGV[1]) then alive = alive + 1 end
    redis.call('ZREM', KEYS[1], member)
    retire(ARGV[2], member)
  end
end
local head = redis.pcall('ZREM', KEYS[1], 'soonest')
if failed(head) then return refuse(head, KEYS[1]) end
if ARGV[3] == 'all' then delete('0', '+inf') end
for i = 4, #ARGV do delete(ARGV[i], ARGV[i]) end
return alive
"""

REMEMBER_TEXT = """
-- KEYS  answer   ARGV  now, kept_until, life in ms, value
-- gives the value that is kept
local kept = redis.call('GET', KEYS[1])
if kept then
  local till, value = string.match(kept, '^(%S+) (.*)$')
  if (tonumber(till) or 0) > tonumber(ARGV[1]) then return value end
end
redis.call('SET', KEYS[1], ARGV[2] .. ' ' .. ARGV[4], 'PX', ARGV[3])
return ARGV[4]
"""

REVOKE_TEXT = """
-- KEYS  revoked, revoked-until   ARGV  now, kept_until, fact
local last = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')[2]
local position = math.max((tonumber(last) or 0) + 1, math.floor(tonumber(ARGV[1]) * 1000000))
redis.call('ZADD', KEYS[2], ARGV[2], ARGV[3])
redis.call('ZADD', KEYS[1], text(position), ARGV[3])
return 1
"""

FORGET_TEXT = """
-- KEYS  revoked, revoked-until   ARGV  now, at most
local facts = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', ARGV[1], 'LIMIT', 0, ARGV[2])
for _, fact in ipairs(facts) do
  redis.call('ZREM', KEYS[1], fact)
  redis.call('ZREM', KEYS[2], fact)
end
return #facts
"""

GATHER_TEXT = """
-- KEYS  gathered, gathered-from   ARGV  now, entries of the feed, bucket, from, to,
--                                       then of each entry: number of rows, key, mark, ...
-- gives 1, or 0 if another node has already gathered from there
if (redis.call('HGET', KEYS[2], ARGV[3]) or '0') ~= ARGV[4] then return 0 end
local position = last_position(KEYS[1])
if type(position) == 'table' then return refuse(position, KEYS[1]) end
position = math.max(position, math.floor(tonumber(ARGV[1]) * 1000000) - 1)
local at = 6
while at <= #ARGV do
  local rows = tonumber(ARGV[at])
  if rows > 0 then
    position = position + rows
    local id = text(position) .. '-0'
    redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[2], id, unpack(ARGV, at + 1, at + 2 * rows))
  end
  at = at + 2 * rows + 1
end
redis.call('HSET', KEYS[2], ARGV[3], ARGV[5])
return 1
"""


@dataclass(frozen=True, slots=True)
class Script:
    """A script, called by the digest of its text."""

    text: str
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        digest = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()
        object.__setattr__(self, "digest", digest)

    def call(self, keys: Sequence[bytes], *arguments: Argument) -> Command:
        """The command that runs it."""
        return ("EVALSHA", self.digest, len(keys), *keys, *arguments)


SAVE = Script(COMMON + SAVE_TEXT)
FETCH = Script(COMMON + FETCH_TEXT)
DELETE = Script(COMMON + DELETE_TEXT)
REMEMBER = Script(COMMON + REMEMBER_TEXT)
REVOKE = Script(COMMON + REVOKE_TEXT)
FORGET = Script(COMMON + FORGET_TEXT)
GATHER = Script(COMMON + GATHER_TEXT)
SCRIPTS = (SAVE, FETCH, DELETE, REMEMBER, REVOKE, FORGET, GATHER)
