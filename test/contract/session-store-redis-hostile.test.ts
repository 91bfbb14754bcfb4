/** What a server that answers wrongly can do: nothing but make the store unavailable. */
import { createHash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { systemClock } from '@countersign/kernel'
import type { SessionStore } from '@countersign/session-store'
import { openRedisStore } from '@countersign/session-store/redis'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { array, bulk, FakeRedis, requestOf, type Sent } from './fake-redis.ts'

let redis: FakeRedis
let url: string
let store: SessionStore | null
const lines: string[] = []
const uncaught: unknown[] = []
const note = (error: unknown): void => void uncaught.push(error)
const say = (fields: object, message: string): void => void lines.push(`${message} ${JSON.stringify(fields)}`)
const logger = { info: say, warn: say, error: say }

beforeEach(async () => {
  redis = new FakeRedis()
  url = await redis.start()
  store = null
  lines.length = uncaught.length = 0
  process.on('uncaughtException', note)
})
afterEach(async () => {
  await store?.close()
  await redis.stop()
  // Room for what a client throws later.
  await sleep(10)
  process.off('uncaughtException', note)
  expect(uncaught).toEqual([])
  expect(({} as { polluted?: unknown }).polluted).toBeUndefined()
})

const open = async (timeoutMs = 300): Promise<SessionStore> => {
  store = await openRedisStore({ url, timeoutMs, logger })
  return store
}

const RECORD = `{"sub":"s","schema":2,"state":"active","email":"canary-4711"}`
const value = (key: string, text = RECORD): string => bulk(`${'e'.repeat(20)}${key}\n${text}`)
const reply = (sent: Sent, ...items: string[]): string => array([bulk(requestOf(sent)), ...items])
const away = { code: 'SESSION_STORE_UNAVAILABLE', retriable: true, outcome: 'none' }

const HOSTILE: Readonly<Record<string, (sent: Sent) => string | Buffer>> = {
  'an answer to another request': (sent) => array([bulk(`${requestOf(sent)}0`), value('account:s')]),
  'the record of another key': (sent) => reply(sent, value('account:t')),
  'no record at all': (sent) => reply(sent),
  'a record without a key': (sent) => reply(sent, bulk('x')),
  'a number for a record': (sent) => reply(sent, ':7\r\n'),
  'null for a record': (sent) => reply(sent, '$-1\r\n'),
  'a list for a record': (sent) => reply(sent, array([value('account:s')])),
  'text that is no JSON': (sent) => reply(sent, value('account:s', '{"sub"')),
  'another account under this key': (sent) => reply(sent, value('account:s', RECORD.replace('"s"', '"t"'))),
  'JSON that is no object': (sent) => reply(sent, value('account:s', 'null')),
  'a number': () => ':1\r\n',
  null: () => '$-1\r\n',
  'an empty list': () => '*0\r\n',
  'a null list': () => '*-1\r\n',
  'a push frame': () => '>1\r\n_\r\n',
  'a push frame that looks like a message': () => '>3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nb\r\n',
  'a map': () => '%1\r\n$9\r\n__proto__\r\n%1\r\n$8\r\npolluted\r\n:1\r\n',
  'a type that does not exist': () => '@1\r\n',
  'more answers than questions': (sent) => `${reply(sent, '$-1\r\n')}$-1\r\n$-1\r\n`,
  'a string of absurd length': () => '$99999999999\r\nx',
  'a list of absurd length': () => '*4294967295\r\n',
  'a length that is no number': () => '$abc\r\n',
  'a list nested a thousand deep': () => '*1\r\n'.repeat(1_000),
  'a line without end': () => Buffer.alloc(200_000, '+'),
  'an error that quotes a value': () => '-ERR canary-4711 is not an integer\r\n',
  'an error with a slot to write to': () => '-MOVED __proto__ 127.0.0.1:1\r\n',
}

it.each(Object.entries(HOSTILE))('%s: unavailable, nothing else', async (_, answer) => {
  redis.onScript = answer
  const failed = await (await open()).account('s').catch((error: unknown) => error)
  expect(failed).toMatchObject(away)
  expect(JSON.stringify([failed, (failed as Error).message, (failed as Error).stack, lines])).not.toContain('4711')
})

it('SNYK-JS-IOREDIS-1567196: members named for prototypes are members like others', async () => {
  const names = '"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}'
  redis.onScript = (sent) => reply(sent, value('account:s', RECORD.replace('{', `{${names},`)))
  const account = await (await open()).account('s')
  expect(account).toMatchObject({ sub: 's', state: 'active' })
  expect(account).not.toHaveProperty('polluted')
  expect(Object.getPrototypeOf(account)).toBe(Object.prototype)
})

it('CVE-2024-31228, CVE-2025-49844: whatever a caller names is a key of this store, given to a script known before', async () => {
  redis.onScript = (sent) => reply(sent, ...sent.slice(3, 3 + Number(sent[2])).map(missing))
  const { account, accountByEmail, session, client } = await open()
  const names = [
    '*',
    '[a-z]*?',
    '}{other}:r:account:s',
    'a\r\nKEYS *',
    '__proto__',
    '\0',
    "redis.call('FLUSHALL')",
    '%1$s%b()',
  ]
  for (const name of names)
    expect(await Promise.all([account(name), accountByEmail(name), session(name, 0), client(name)])).toEqual([
      ...[null, null, null, null],
    ])
  const scripts = redis.sent.filter(([name, what]) => name === 'script' && what?.toLowerCase() === 'load')
  const known = new Set(
    scripts.map(([, , text]) =>
      createHash('sha1')
        .update(text ?? '')
        .digest('hex'),
    ),
  )
  const run = redis.sent.filter(([name]) => name === 'evalsha')
  expect(run.length).toBeGreaterThanOrEqual(names.length)
  for (const [, digest, count, ...rest] of run) {
    expect(known).toContain(digest)
    for (const key of rest.slice(0, Number(count))) expect(key).toMatch(/^\{countersign\}:r:[a-z-]+:[^:\n]*$/)
  }
  const others = redis.sent.map(([name]) => name?.toLowerCase()).filter((name) => name !== 'evalsha')
  expect(others.filter((name) => !['client', 'config', 'info', 'role', 'script'].includes(name ?? ''))).toEqual([])
})

it('gives up a connection that answered wrongly, and goes on with a new one', async () => {
  redis.onScript = (sent) => reply(sent, value('account:t'))
  const { account } = await open()
  await expect(account('s')).rejects.toMatchObject(away)
  redis.onScript = (sent) => reply(sent, bulk('!account:s'))
  await expect.poll(() => account('s').catch(() => 'away')).toBeNull()
  expect(redis.connections).toBe(2)
})

it('never takes the late answer to a question nobody waits for any more', async () => {
  let late: () => void = () => {}
  redis.onScript = (sent, socket) => {
    late = () => void socket.write(reply(sent, value('account:s')))
    return null
  }
  const { account } = await open(100)
  const began = performance.now()
  await expect(account('s')).rejects.toMatchObject(away)
  expect(performance.now() - began).toBeLessThan(2_000)
  redis.onScript = (sent) => reply(sent, bulk('!account:u'))
  late()
  await expect.poll(() => account('u').catch(() => 'away')).toBeNull()
  expect(redis.connections).toBe(2)
})

it('gives a call one deadline, however often it has to ask', async () => {
  let passed = 0
  const clock = { ...systemClock, monotonic: () => systemClock.monotonic() + passed }
  redis.onScript = (sent) => {
    if (sent[2] !== '2') return null
    passed = 59_900
    return reply(sent, bulk(''), array([bulk('session:h'), bulk('1')]))
  }
  store = await openRedisStore({ url, timeoutMs: 60_000, clock })
  await expect(store.sessionsOf('s', 1)).rejects.toMatchObject({ ...away, detail: { reason: 'no answer in time' } })
  // Redis was given no time to speak of: that says nothing about the connection.
  await sleep(200)
  expect(redis.connections).toBe(1)
})

it('says that a change may have happened only once it was sent', async () => {
  const isCommit = (sent: Sent): boolean => Number(sent[2]) > 0 && sent.length > 10
  redis.onScript = (sent) => (isCommit(sent) ? null : reply(sent, ...sent.slice(3, 3 + Number(sent[2])).map(missing)))
  const { putResetCode } = await open(100)
  const code = { sub: 's', codeHash: Buffer.alloc(32), expiresAt: 1 }
  await expect(putResetCode(code)).rejects.toMatchObject({ ...away, outcome: 'unknown' })
  redis.onScript = () => null
  await expect.poll(() => putResetCode(code).catch((error) => error)).toMatchObject({ ...away, outcome: 'none' })
})

it('sends nothing twice, and waits for no connection', async () => {
  const { account } = await open(60_000)
  redis.onScript = (_, socket) => {
    socket.destroy()
    return null
  }
  await expect(account('s')).rejects.toMatchObject(away)
  await expect.poll(() => redis.connections).toBe(2)
  await sleep(50)
  expect(redis.sent.filter(([name]) => name === 'evalsha')).toHaveLength(1)
})

it('loads a script again that the server has forgotten, once', async () => {
  const { account } = await open()
  const before = redis.sent.filter(([name]) => name === 'script').length
  let asked = 0
  redis.onScript = (sent) => (asked++ === 0 ? '-NOSCRIPT No matching script.\r\n' : reply(sent, bulk('!account:s')))
  expect(await account('s')).toBeNull()
  expect([asked, redis.sent.filter(([name]) => name === 'script').length - before]).toEqual([2, 1])
})

it('refuses a Redis that may evict, and takes it once it may not', async () => {
  redis.policy = 'allkeys-lru'
  const refused = { code: 'SESSION_STORE_EVICTION_POSSIBLE', retriable: false }
  await expect(openRedisStore({ url, logger })).rejects.toMatchObject(refused)
  redis.policy = 'noeviction'
  await open()
})

it('warns where it cannot know whether keys are evicted, and of a Redis that forgets when it ends', async () => {
  redis.policy = redis.appends = null
  await (await open()).close()
  redis.policy = 'noeviction'
  redis.appends = 'no'
  await open()
  expect(lines.join()).toMatch(/evicts keys is unknown.*append-only file is unknown.*keeps no append-only file/)
})

function missing(name: string): string {
  return bulk(`!${name.replace(/^\{countersign\}:r:/, '')}`)
}
