import { rmSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { SIGNALS_TOPIC } from '@countersign/replica'
import { frame, journeyEventCodec } from '@countersign/schemas'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { EmbeddedLog, run } from './testing.ts'

let embedded: EmbeddedLog
let data: string[]

beforeEach(() => {
  embedded = new EmbeddedLog()
  data = ['--data', embedded.folder]
})

afterEach(async () => {
  await embedded.close()
  rmSync(embedded.folder, { recursive: true, force: true })
})

describe('the command line', () => {
  it.each([
    [[], 'name one of topics, tail'],
    [['topics'], 'name one of topics plan'],
    [['nope'], 'there is no command nope: name one of'],
    [['topics', 'nope'], 'there is no command nope: name one of'],
    [['tail', '--nope'], '--nope'],
    [['tail'], 'name one log: --data <dir>, --log <file>, or --brokers with --registry'],
    [['tail', '--data', 'a', '--brokers', 'b'], 'name one log'],
    [['tail', '--brokers', 'a:1'], '--brokers needs --registry'],
    [['tail', '--data', 'a', '--from', 'yesterday'], '--from is start, end, an offset'],
    [['tail', '--data', 'a', '--count', 'few'], '--count is a whole number of at least 1, not few'],
    [['tail', '--data', 'a', '--kind', 'song'], '--kind is a list of signal'],
    [['tail', '--data', 'a', '-o', 'xml'], 'table, json'],
    [['doctor', '--data', 'a', '--budget', '5'], '--budget is a duration such as 5s'],
    [['revoke', 'session'], 'the target is <kind>:<id>'],
    [['revoke', 'affiliation:acme'], 'affiliation:<tenant>/<subject>'],
    [['revoke', 'session:s', '--reason', 'mood'], '--reason is one of compromise'],
    [['revoke', 'session:s', '--scope', 'a'], '--scope goes with a target affiliation'],
    [['revoke', 'tenant:acme', '--issuer', 'https://i'], '--issuer goes with a subject'],
    [['revoke', 'session:s', '--execute'], '--identity <url>'],
    [['revocation', 'x'], 'the id is a UUID'],
  ])('refuses %j in one line that says what would be right', async (argv, hint) => {
    const { code, out, talk } = await run(argv)
    expect([code, out]).toEqual([2, ''])
    expect(talk).toContain(hint)
    expect(talk.split('\n').length).toBe(1)
  })

  it.each(
    [
      [],
      ['topics'],
      ['topics', 'plan'],
      ['topics', 'apply'],
      ['topics', 'drift'],
      ['tail'],
      ['revoke'],
      ['revocation'],
      ['doctor'],
    ].map((c) => [c]),
  )('has help for %j', async (command) => {
    const { code, out } = await run([...command, '--help'])
    expect(code).toBe(0)
    expect(out).toContain('Usage: countersign')
  })

  it('takes the log from the environment, unless the command line names one', async () => {
    await embedded.open()
    const env = { COUNTERSIGN_KAFKA_BROKERS: '127.0.0.1:1', COUNTERSIGN_REGISTRY_URL: 'http://127.0.0.1:1' }
    expect((await run(['topics', 'drift', ...data], { env })).code).toBe(0)
    expect((await run(['topics', 'drift'], { env: { COUNTERSIGN_DATA: embedded.folder } })).code).toBe(0)
  })
})

describe('topics', () => {
  it('plans first, creates only with --execute, and then finds nothing to do', async () => {
    const plan = await run(['topics', 'plan', ...data, '-o', 'json'])
    expect(plan.code).toBe(3)
    expect(JSON.parse(plan.out).topics).toContain(SIGNALS_TOPIC)
    expect((await run(['topics', 'apply', ...data])).code).toBe(3)
    expect((await run(['topics', 'drift', ...data])).code, 'nothing was created').toBe(1)
    const applied = await run(['topics', 'apply', ...data, '--execute', '-o', 'json'])
    expect([applied.code, JSON.parse(applied.out).executed]).toEqual([0, true])
    expect((await run(['topics', 'plan', ...data])).code).toBe(0)
    expect(await run(['topics', 'drift', ...data, '-o', 'json'])).toMatchObject({ code: 0, out: '[]' })
  })

  it('shows drift by property, and whether promises rest on it', async () => {
    await embedded.open()
    expect((await run(['topics', 'drift', ...data, '--window', '1h'])).code, 'kept longer than asked').toBe(0)
    const { code, out } = await run(['topics', 'drift', ...data, '--window', '30d', '-o', 'json'])
    expect(code).toBe(3)
    const short = { property: 'retention.ms', wanted: '2592000000', found: '604800000', breaks: true }
    expect(JSON.parse(out)).toEqual([
      { topic: SIGNALS_TOPIC, ...short },
      { topic: 'countersign.journey.v1', ...short },
    ])
  })

  it('reads the catalogue of a module', async () => {
    const file = join(embedded.folder, 'catalogue.mjs')
    writeFileSync(
      file,
      'export default { entries: [{ name: "mine", role: "jobs", partitions: 1, retention: 1000, schemas: [] }], schemas: [], byName() {}, schemaIds: () => ({ idOf() {}, schemaOf() {} }) }',
    )
    const { out } = await run(['topics', 'plan', ...data, '--catalogue', file, '-o', 'json'])
    expect(JSON.parse(out).topics).toEqual(['mine'])
    writeFileSync(join(embedded.folder, 'other.mjs'), 'export const x = 1')
    expect(await run(['topics', 'plan', ...data, '--catalogue', join(embedded.folder, 'other.mjs')])).toMatchObject({
      code: 1,
      talk: expect.stringContaining('is not a module that exports a catalogue'),
    })
  })
})

it('tails the journey of identities, partitions merged by time', async () => {
  const log = await embedded.open()
  const event = { actor: 'unknown', audience: [], scopes: [], outcome: 'issued', latency_ms: 1 }
  const nothing = { sub: null, tenant: null, session: null, family: null, token: null, device: null, client: null }
  const more = {
    parent: null,
    origin: null,
    cause: null,
    target: null,
    effect: null,
    revocation: null,
    rule: null,
    request_id: null,
    trace_id: null,
    txn: null,
    acr: null,
    route: null,
    lineage: [],
    correlation_id: null,
  }
  const id = Buffer.alloc(16, 7)
  const schemaId = log.schemas.idOf('countersign.JourneyEvent')
  for (const [i, action] of (['login_failed', 'issuance', 'refresh', 'reuse', 'logout'] as const).entries()) {
    const body = journeyEventCodec.encode({
      id,
      at: i,
      action,
      ...nothing,
      ...more,
      ...event,
      sub: `u_${i}`,
      session: 'ses_1',
    })
    const key = Buffer.from(`u_${i}`)
    await log.append('countersign.journey.v1', [{ key, value: frame(schemaId, body), headers: [], partition: 5 - i }])
    await sleep(2)
  }
  const journey = [...data, '--topic', 'journey']
  const { code, out } = await run(['tail', ...journey, '--from', 'start', '-e', '-o', 'json'])
  const shown = out.split('\n').map((line) => JSON.parse(line) as { partition: number; event: Record<string, unknown> })
  expect(code).toBe(0)
  expect(shown.map((one) => one.event.action)).toEqual(['login_failed', 'issuance', 'refresh', 'reuse', 'logout'])
  expect(shown[0]).toMatchObject({ partition: 5, offset: 0, event: { id: '07'.repeat(16), sub: 'u_0' } })
  const some = await run(['tail', ...journey, '--from', 'start', '-e', '--kind', 'reuse,logout', '-c', '1'])
  expect(some.out).toMatch(/reuse {2,}issued {2,}unknown for u_3 session:ses_1$/)
  expect((await run(['tail', ...journey, '-e'])).out).toBe('')
})

describe('tail', () => {
  async function story(): Promise<void> {
    const { scribe } = embedded
    scribe.bundle()
    scribe.begin()
    scribe.signal({ target: { kind: 'affiliation', tenant: 'acme', id: 'u-1' }, effect: 'scope:invoices.pay' })
    scribe.checkpoint()
    scribe.writeCheckpoint(scribe.nextCheckpoint(), scribe.keys.signal)
    await embedded.flush()
    await (await embedded.open()).append(SIGNALS_TOPIC, [{ key: null, value: Buffer.from('noise'), headers: [] }])
  }
  const lines = (out: string): Record<string, unknown>[] => out.split('\n').map((line) => JSON.parse(line))

  it('decodes every kind of record and says whose signature holds', async () => {
    await story()
    const { code, out } = await run(['tail', ...data, '--from', 'start', '-e', '-o', 'json'])
    expect(code).toBe(0)
    expect(lines(out).map(({ offset, kind, signature }) => [offset, kind, signature])).toEqual([
      [0, 'TrustBundle', 'valid'],
      [1, 'EpochClaim', 'valid'],
      [2, 'Signal', 'valid'],
      [3, 'Checkpoint', 'valid'],
      [4, 'Checkpoint', 'record_key_use'],
      [5, 'unreadable', 'unreadable'],
    ])
    expect(lines(out)[2]).toMatchObject({ record: { effect: 'scope:invoices.pay', target: { tenant: 'acme' } } })
  })

  it('marks doubt for people, and says so when it cannot check', async () => {
    await story()
    const checked = await run(['tail', ...data, '--from', '4', '-e'])
    expect(checked.out).toMatch(/Checkpoint .*!! record_key_use/)
    const unchecked = await run(['tail', '--log', join(embedded.folder, 'log.db'), '--from', '4', '-e'])
    expect(unchecked.out).not.toContain('!! record')
    expect(unchecked.talk).toContain('signatures are not checked')
  })

  it('begins where it is told and keeps to kind and count', async () => {
    await story()
    const offsets = async (...more: string[]): Promise<unknown[]> => {
      const { out } = await run(['tail', ...data, '-e', '-o', 'json', ...more])
      return out === '' ? [] : lines(out).map(({ offset }) => offset)
    }
    expect(await offsets('--from', '3')).toEqual([3, 4, 5])
    expect(await offsets()).toEqual([])
    expect(await offsets('--from', 'start', '--kind', 'signal,trustbundle')).toEqual([0, 2])
    expect(await offsets('--from', 'start', '--count', '2')).toEqual([0, 1])
    expect(await offsets('--from', '-1h')).toEqual([0, 1, 2, 3, 4, 5])
    expect(await offsets('--from', '2999-01-01T00:00:00Z')).toEqual([])
  })

  it('follows until it is told to stop', async () => {
    await story()
    const enough = new AbortController()
    const running = run(['tail', ...data, '--count', '1', '-o', 'json'], { signal: enough.signal })
    let told = false
    const telling = (async () => {
      // What is appended before it has begun is not news to it.
      for (; !told; await sleep(100)) {
        embedded.scribe.signal()
        await embedded.flush()
      }
    })()
    const { out } = await running
    told = true
    await telling
    expect(lines(out).map(({ kind }) => kind)).toEqual(['Signal'])
    const stopped = run(['tail', ...data], { signal: enough.signal })
    enough.abort()
    expect((await stopped).code).toBe(0)
  })
})

describe('doctor', () => {
  async function examine(
    ...more: string[]
  ): Promise<{ code: number; states: Record<string, string>; details: Record<string, string> }> {
    const { code, out } = await run(['doctor', ...data, '--timeout', '1500ms', '-o', 'json', ...more])
    const { checks } = JSON.parse(out) as { checks: { name: string; state: string; detail: string }[] }
    return {
      code,
      states: Object.fromEntries(checks.map(({ name, state }) => [name, state])),
      details: Object.fromEntries(checks.map(({ name, detail }) => [name, detail])),
    }
  }

  /** A notary at work while `act` runs. */
  async function withNotary<T>(act: () => Promise<T>): Promise<T> {
    const { scribe } = embedded
    scribe.bundle()
    scribe.begin()
    scribe.signal()
    await embedded.flush()
    const done = new AbortController()
    const notary = (async () => {
      while (!done.signal.aborted) {
        scribe.checkpoint()
        await embedded.flush()
        await sleep(100)
      }
    })()
    try {
      return await act()
    } finally {
      done.abort()
      await notary
    }
  }

  it('passes a log that is kept well', async () => {
    const { code, states, details } = await withNotary(() => examine())
    expect(states, JSON.stringify(details)).toEqual({
      log: 'ok',
      engine: 'ok',
      schemas: 'ok',
      topics: 'ok',
      replication: 'ok',
      checkpoint: 'ok',
      records: 'ok',
      'trust bundle': 'ok',
      window: 'ok',
      clock: 'ok',
      identity: 'skip',
      'audiences of topics': 'ok',
    })
    expect(code).toBe(0)
  })

  it('fails without a checkpoint, with other root keys, and without identity', async () => {
    embedded.scribe.bundle({ expires_at: Date.now() + 86_400_000 })
    embedded.scribe.begin()
    await embedded.flush()
    const silent = await examine('--identity', 'http://127.0.0.1:1')
    expect(silent.code).toBe(3)
    expect(silent.states).toMatchObject({ checkpoint: 'fail', 'trust bundle': 'warn', clock: 'skip', identity: 'fail' })
    expect(silent.details['trust bundle']).toContain('ends within a week')
    const other = Buffer.alloc(32, 9).toString('base64')
    const strange = await examine('--root-key', other)
    expect(strange.states).toMatchObject({ checkpoint: 'fail', 'trust bundle': 'fail', window: 'skip' })
  })

  it('fails for topics that are not as asked, and for a log that is not there', async () => {
    await embedded.open()
    expect((await examine('--window', '30d')).states).toMatchObject({ topics: 'fail', log: 'warn' })
    const { code, out } = await run(['doctor', '--data', join(embedded.folder, 'none'), '-o', 'json'])
    expect(code).toBe(3)
    expect(JSON.parse(out)).toMatchObject({
      ok: false,
      checks: [{ name: 'log', state: 'fail' }, { name: 'identity' }, {}],
    })
  })
})

describe('revoke', () => {
  let server: Server
  let identity: string
  let seen: { method: string | undefined; url: string | undefined; authorization: string | undefined; body: string }[]
  let reply: (attempt: number) => { status: number; body: unknown } | 'hang up'

  beforeEach(async () => {
    seen = []
    server = createServer(async (request: IncomingMessage, response) => {
      let body = ''
      for await (const part of request) body += part
      seen.push({ method: request.method, url: request.url, authorization: request.headers.authorization, body })
      const answer = reply(seen.length)
      if (answer === 'hang up') return request.socket.destroy()
      response.writeHead(answer.status, { 'content-type': 'application/json' }).end(JSON.stringify(answer.body))
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    identity = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  })

  afterEach(() => {
    server.closeAllConnections()
    server.close()
  })

  const id = '00000000-0000-4000-8000-000000000001'
  const position = { log_id: 'log-1', offset: 7 }
  const ask = (...more: string[]) =>
    run(['revoke', 'session:ses_1', '--identity', identity, '-o', 'json', '--request-id', id, ...more], {
      env: { COUNTERSIGN_OPERATOR_SECRET: 'op-secret' },
    })

  it('asks nothing without --execute', async () => {
    const { code, out } = await ask()
    expect([code, seen.length, JSON.parse(out).executed]).toEqual([0, 0, false])
  })

  it.each([
    ['acknowledged', 200, { state: 'acknowledged', id, seq: 3, position }, 0],
    ['pending', 202, { state: 'pending', id, seq: 3 }, 4],
    ['refused', 404, { state: 'refused', id, code: 'session_unknown' }, 6],
    ['refused', 503, { state: 'refused', id, code: 'store_unavailable' }, 6],
    ['refused', 401, { code: 'credential_invalid' }, 6],
  ])('tells %s (HTTP %i) by word and exit code', async (state, status, body, expected) => {
    reply = () => ({ status, body })
    const { code, out } = await ask('--execute', '--reason', 'compromise', '--cause', 'stolen_laptop')
    expect(code).toBe(expected)
    expect(JSON.parse(out)).toMatchObject({ state, id })
    expect(seen[0]).toMatchObject({ method: 'POST', url: '/v1/revocations', authorization: 'Bearer op-secret' })
    expect(JSON.parse(seen[0]!.body)).toEqual({
      id,
      target: { kind: 'session', id: 'ses_1' },
      reason: 'compromise',
      cause: 'stolen_laptop',
    })
  })

  it.each<[string, object]>([
    ['subject:a/b', { sub: 'a/b' }],
    ['affiliation:acme/a/b', { sub: 'a/b', tenant: 'acme' }],
    ['session:s', { sid: 's' }],
    ['client:c', { client: 'c' }],
    ['token:t', { jti: 't' }],
  ])('asks for %s of another identity provider in its words', async (target, named) => {
    reply = () => ({ status: 200, body: { state: 'acknowledged', id, seq: 3, position } })
    const where = ['--identity', identity, '--request-id', id, '--issuer', 'https://login.example', '--execute']
    const { code } = await run(['revoke', target, ...where], { env: { COUNTERSIGN_OPERATOR_SECRET: 'op-secret' } })
    expect(code).toBe(0)
    expect(JSON.parse(seen[0]!.body)).toEqual({
      id,
      target: { issuer: 'https://login.example', ...named },
      reason: 'admin',
    })
  })

  it('asks again with the same id while the outcome is unknown', async () => {
    reply = (attempt) => {
      if (attempt === 1) return 'hang up'
      return attempt === 2
        ? { status: 503, body: { state: 'unknown', id } }
        : { status: 200, body: { state: 'acknowledged', id } }
    }
    expect((await ask('--execute')).code).toBe(0)
    expect(seen.map(({ body }) => JSON.parse(body).id)).toEqual([id, id, id])
  })

  it('says unknown when it stays so, and that nothing was asked when nobody listens', async () => {
    reply = () => 'hang up'
    expect((await ask('--execute', '--timeout', '1s')).code).toBe(5)
    await new Promise((resolve) => server.close(resolve))
    const away = await ask('--execute')
    expect(away).toMatchObject({ code: 1, talk: expect.stringContaining('identity does not answer') })
  })

  it('never shows the secret', async () => {
    reply = () => 'hang up'
    const { out, talk } = await ask('--execute', '--timeout', '600ms')
    expect(out + talk).not.toContain('op-secret')
  })

  it('asks what became of a revocation', async () => {
    reply = () => ({ status: 200, body: { state: 'acknowledged', id, seq: 3, position } })
    const secretFile = join(embedded.folder, 'secret')
    writeFileSync(secretFile, 'from-file\n')
    const { code, out } = await run([
      'revocation',
      id,
      '--identity',
      identity,
      '--secret-file',
      secretFile,
      '-o',
      'json',
    ])
    expect([code, JSON.parse(out)]).toEqual([0, { state: 'acknowledged', id, seq: 3, position }])
    expect(seen[0]).toMatchObject({ method: 'GET', url: `/v1/revocations/${id}`, authorization: 'Bearer from-file' })
  })
})
