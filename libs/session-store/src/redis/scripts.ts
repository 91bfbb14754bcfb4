/**
 * What Redis runs for the store. A record is one string, an index one sorted set, and an exact index also has a string
 * with the etag of its last change. Every reply begins with the number of its request, so that none is taken for another's.
 */
import { createHash } from 'node:crypto'

export interface Script {
  readonly text: string
  readonly digest: string
}

function script(text: string): Script {
  return { text, digest: createHash('sha1').update(text).digest('hex') }
}

/**
 * KEYS: records. ARGV: request, prefix of records, of how many of them, from the first, to follow the references, two
 * levels deep. Replies with the records asked for, in order, then those referred to, each once; `!` and the key for one
 * that does not exist.
 */
export const READ: Script = script(`
local prefix, followed = ARGV[2], tonumber(ARGV[3])
local reply, level, seen = { ARGV[1] }, KEYS, {}
-- What is asked for without its references is read again where others refer to it, for theirs.
for i = 1, followed do seen[KEYS[i]] = true end
for depth = 0, 2 do
  local below = {}
  -- One call for many keys: each call costs more than what it reads.
  for first = 1, #level, 200 do
    local last = math.min(first + 199, #level)
    local values = redis.call('MGET', unpack(level, first, last))
    for i = first, last do
      local value = values[i - first + 1]
      reply[#reply + 1] = value or '!' .. string.sub(level[i], #prefix + 1)
      if value and depth < 2 and (depth > 0 or i <= followed) then
        local from = string.find(value, '\\n', 1, true)
        local to = from and string.find(value, '\\n', from + 1, true)
        while to do
          local ref = prefix .. string.sub(value, from + 1, to - 1)
          if not seen[ref] then
            seen[ref] = true
            below[#below + 1] = ref
          end
          from, to = to, string.find(value, '\\n', to + 1, true)
        end
      end
    end
  end
  level = below
end
return reply
`)

/** KEYS: index, its etag. ARGV: request, from, to, limit, order. Replies with the etag, then keys and scores in turn. */
export const RANGE: Script = script(`
local found
if ARGV[5] == 'newest' then
  found = redis.call('ZREVRANGEBYSCORE', KEYS[1], ARGV[3], ARGV[2], 'WITHSCORES', 'LIMIT', 0, ARGV[4])
else
  found = redis.call('ZRANGEBYSCORE', KEYS[1], ARGV[2], ARGV[3], 'WITHSCORES', 'LIMIT', 0, ARGV[4])
end
return { ARGV[1], redis.call('GET', KEYS[2]) or '', found }
`)

/** KEYS: index. ARGV: request, from. Replies with how many entries have that score or a higher one. */
export const COUNT: Script = script(`
return { ARGV[1], redis.call('ZCOUNT', KEYS[1], ARGV[2], '+inf') }
`)

/**
 * KEYS: first everything that was read, then the indexes to change. ARGV: request, the new etag, how many keys were read,
 * how many puts, drops and entries; the etags read, empty for what did not exist; puts as position and value; drops as
 * position; entries as position of the index, position of its etag or 0, score or nothing, key. Replies with the new etag
 * if all etags still stood and everything was written, with nothing if nothing was.
 */
export const COMMIT: Script = script(`
local etag, read = ARGV[2], tonumber(ARGV[3])
local at = 7
for first = 1, read, 200 do
  local last = math.min(first + 199, read)
  local values = redis.call('MGET', unpack(KEYS, first, last))
  for i = first, last do
    local value = values[i - first + 1]
    if (value and string.sub(value, 1, #etag) or '') ~= ARGV[at] then return { ARGV[1], '' } end
    at = at + 1
  end
end
local puts = at
at = at + 2 * tonumber(ARGV[4])
local drops = at
at = at + tonumber(ARGV[5])
-- Indexes first: only these can fail, on a key of another type, and nothing would be written yet.
for _ = 1, tonumber(ARGV[6]) do
  local index, score, key = KEYS[tonumber(ARGV[at])], ARGV[at + 2], ARGV[at + 3]
  if score == '' then redis.call('ZREM', index, key) else redis.call('ZADD', index, score, key) end
  local exact = KEYS[tonumber(ARGV[at + 1])]
  if exact then redis.call('SET', exact, etag) end
  at = at + 4
end
for i = puts, drops - 2, 2 do redis.call('SET', KEYS[tonumber(ARGV[i])], ARGV[i + 1]) end
for i = drops, drops + tonumber(ARGV[5]) - 1 do redis.call('DEL', KEYS[tonumber(ARGV[i])]) end
return { ARGV[1], etag }
`)

export const SCRIPTS: readonly Script[] = [READ, RANGE, COUNT, COMMIT]
