"""SAVE: many saves of one bucket at once, in Lua.

    1. read      receipts of the push ids, how full the keys are, their marks, the end of the feed
    2. decide    id and prev of each message; whatever is wrong is found by now
    3. write     bodies, messages, receipts, feed
    4. make room expired and too many messages of these keys; marks

Part of redis_scripts.py, which says what all scripts keep to and has the functions that they share.
"""

SAVE_TEXT = """
-- KEYS  marks, feed, highest, then of each save: its receipts, its keys
-- ARGV  now, highest id allowed, depth, depth of queues, entries of the feed, 1 = only check, base, length of '<base>key:',
--       1 = there are tails,
--       then of each save: proposed id, expires_at, life in ms, kept_until, life of receipts in ms, body,
--       number of keys; then, in the order of KEYS from the fourth on: if there are tails, that of each key
--       ('' = none); if other data count, the lowest mark of each key
-- gives {{id, prev, ...}, {key, trimmed, ...}, new messages}
local now, ceiling, depth = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local queue_depth = tonumber(ARGV[4])
local base, skip = ARGV[7], tonumber(ARGV[8]) + 1
local marks, feed, highest = KEYS[1], KEYS[2], KEYS[3]
local MAX_ID, HEAD, ROWS, TIDY = 9007199254740991, 'soonest', 32, 8
local QUEUE, REALM, STEP = '@mpush', '\\31', 1000  -- as Key.is_queue and QUEUE_STEP say
local function is_queue(name) return string.sub(name, -#QUEUE) == QUEUE and not string.find(name, REALM, 1, true) end
local function rounded(id, step) return id + (step - math.fmod(id, step)) % step end

-- 1. read
local saves, ids, first_key, first_argument = 0, {}, {}, {}
local k, at = 4, 10
while k <= #KEYS do
  saves = saves + 1
  ids[saves], first_key[saves], first_argument[saves] = KEYS[k], k + 1, at
  k, at = k + 1 + tonumber(ARGV[at + 6]), at + 7
end
first_key[saves + 1] = k + 1
local tails
if ARGV[9] == '1' then tails, at = at - 4, at + #KEYS - 3 end
local floors = ARGV[at] and at - 4

local function receipts(packed)  -- until when they are kept, as they are packed, and {id, prev} by key
  local push = {kept = 0, life = false, rows = {0}, answers = {}}
  if not packed then return push end
  local good, rows = pcall(cmsgpack.unpack, packed)
  if good and type(rows) == 'table' and (tonumber(rows[1]) or 0) > now then
    push.kept, push.rows = tonumber(rows[1]), rows
    for row = 2, #rows, 3 do push.answers[rows[row]] = {rows[row + 1], rows[row + 2]} end
  end
  return push
end
local pushes = {}
for i = 1, saves, 1000 do
  local packed = redis.call('MGET', unpack(ids, i, math.min(i + 999, saves)))
  for j, bytes in ipairs(packed) do
    local id = ids[i + j - 1]
    pushes[id] = pushes[id] or receipts(bytes)
  end
end

local names, known, list = {}, {}, {}
for i = 1, saves do
  local answers, proposed = pushes[ids[i]].answers, ARGV[first_argument[i]]
  for row = first_key[i], first_key[i + 1] - 2 do
    local name = string.sub(KEYS[row], skip)
    names[row] = name
    if not answers[name] then
      if tonumber(proposed) > ceiling then return redis.error_reply('RUNAWAY ' .. proposed) end
      if not known[name] then
        local size = redis.pcall('ZCARD', KEYS[row])
        if failed(size) then return refuse(size, KEYS[row]) end
        known[name] = {key = KEYS[row], before = size, added = 0, life = 0, soonest = math.huge,
          mark = 0, mark_text = '0', step = 1, depth = depth}
        if is_queue(name) then known[name].step, known[name].depth = STEP, queue_depth end
        list[#list + 1] = name
      end
    end
  end
end
for i = 1, #list, 1000 do
  local scores = redis.pcall('HMGET', marks, unpack(list, i, math.min(i + 999, #list)))
  if failed(scores) then return refuse(scores, marks) end
  for j, mark in ipairs(scores) do
    known[list[i + j - 1]].mark = mark and math.floor(tonumber(mark) or math.huge) or 0
  end
end
local position = last_position(feed)
if type(position) == 'table' then return refuse(position, feed) end
local top = redis.pcall('GET', highest)
if failed(top) then return refuse(top, highest) end

-- 2. decide
local result, fresh, news = {}, {}, 0
for i = 1, saves do
  local answers, proposed = pushes[ids[i]].answers, tonumber(ARGV[first_argument[i]])
  local rows = {}
  for row = first_key[i], first_key[i + 1] - 2 do
    local name = names[row]
    local answer = answers[name]
    if not answer then
      local key = known[name]
      local prev = math.max(key.mark, floors and tonumber(ARGV[floors + row]) or 0)
      local id = math.max(rounded(proposed, key.step), prev + key.step)
      if id > MAX_ID then return redis.error_reply('FOREIGN ' .. marks) end
      answer = {id, prev}
      if tails and ARGV[tails + row] ~= '' then answer[3] = ARGV[tails + row] end
      key.mark, answers[name], rows[#rows + 1] = id, answer, name
      news = news + 1
    end
    result[#result + 1] = answer[1]
    result[#result + 1] = answer[2]
  end
  fresh[i] = rows
end
if ARGV[6] == '1' or news == 0 then return {result, {}, 0} end

-- 3. write
position = math.max(position, math.floor(now * 1000000) - 1)
local entry = {}
local function flush()
  redis.call('XADD', feed, 'MAXLEN', '~', ARGV[5], text(position) .. '-0', unpack(entry))
  entry = {}
end
for i = 1, saves do
  local rows = fresh[i]
  if #rows > 0 then
    local push, a = pushes[ids[i]], first_argument[i]
    local proposed = tonumber(ARGV[a])
    local number, life, expires = text(position + 1), tonumber(ARGV[a + 2]), tonumber(ARGV[a + 1]) or 0
    local member = ARGV[a + 1] .. ' ' .. number .. ' ' .. #rows
    redis.call('SET', base .. 'body:' .. number, ARGV[a + 5], 'PX', ARGV[a + 2])
    if #rows > 1 then redis.call('SET', base .. 'live:' .. number, #rows, 'PX', ARGV[a + 2]) end
    for _, name in ipairs(rows) do
      local key, answer = known[name], push.answers[name]
      local id = answer[1] == proposed and ARGV[a] or text(answer[1])
      redis.call('ZADD', key.key, id, answer[3] and member .. ' ' .. answer[3] or member)
      key.mark_text = id
      key.added, key.life = key.added + 1, math.max(key.life, life)
      key.soonest = math.min(key.soonest, expires)
      local packed, size = push.rows, #push.rows
      packed[size + 1], packed[size + 2], packed[size + 3] = name, answer[1], answer[2]
      position = position + 1
      entry[#entry + 1] = name
      entry[#entry + 1] = id
      if #entry == 2 * ROWS then flush() end
    end
    if push.kept < (tonumber(ARGV[a + 3]) or 0) then
      push.kept, push.life = tonumber(ARGV[a + 3]), ARGV[a + 4]
    end
    push.rows[1] = push.kept
    if push.life then
      redis.call('SET', ids[i], cmsgpack.pack(push.rows), 'PX', push.life)
    else
      redis.call('SET', ids[i], cmsgpack.pack(push.rows), 'KEEPTTL')
    end
  end
end
if #entry > 0 then flush() end

-- 4. what has expired at the old end of a key goes, in an amortized way; a key over its depth is trimmed
local function tidy(key, most)
  local gone = 0
  for _, member in ipairs(redis.call('ZRANGE', key.key, 0, most - 1)) do
    if expiry(member) > now then break end
    gone = gone + redis.call('ZREM', key.key, member)
  end
  return gone
end

-- HEAD is in a full key only, with the time before which nothing in it expires: else each save to it
-- would have to look at all of it. Whoever takes a message out takes it out too.
local function trim(key)
  local head = redis.call('ZSCORE', key.key, HEAD)
  local soonest = head and math.min(-tonumber(head), key.soonest)
  local size = key.before + key.added
  if head then
    redis.call('ZREM', key.key, HEAD)
    size = size - 1
  end
  size = size - tidy(key, size - key.depth)
  if size > key.depth and (not soonest or soonest <= now) then
    soonest = math.huge
    for _, member in ipairs(redis.call('ZRANGE', key.key, 0, -1)) do
      if expiry(member) <= now then
        size = size - redis.call('ZREM', key.key, member)
      else
        soonest = math.min(soonest, expiry(member))
      end
    end
  end
  local excess = math.max(size - key.depth, 0)
  if excess > 0 then
    for _, member in ipairs(redis.call('ZRANGE', key.key, 0, excess - 1)) do
      redis.call('ZREM', key.key, member)
      retire(base, member)
    end
  end
  if size >= key.depth and soonest then
    redis.call('ZADD', key.key, string.format('%.17g', -soonest), HEAD)
  end
  return excess
end

local trims, raised, raised_to = {}, {}, 0
for i, name in ipairs(list) do
  local key = known[name]
  if key.before == 0 or redis.call('PTTL', key.key) < key.life then
    -- longer than needed: the next saves need not do it again
    redis.call('PEXPIRE', key.key, text(key.life + math.max(key.life / 8, 60000)))
  end
  local size = key.before + key.added
  if size > key.depth then
    local gone = trim(key)
    if gone > 0 then
      trims[#trims + 1] = name
      trims[#trims + 1] = gone
    end
  elseif math.floor(key.before / TIDY) < math.floor(size / TIDY) and key.before > 0 then
    tidy(key, 2 * TIDY)
  end
  raised_to = math.max(raised_to, key.mark)
  raised[#raised + 1] = name
  raised[#raised + 1] = key.mark_text
  if #raised >= 1000 or i == #list then
    redis.call('HSET', marks, unpack(raised))
    raised = {}
  end
end
if raised_to > (tonumber(top) or 0) then redis.call('SET', highest, text(raised_to)) end
return {result, trims, news}
"""
