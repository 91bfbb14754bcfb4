/** Decisions of a real enforcer, made again from what stands on the log, and what becomes of that when a byte changes. */

import { join } from 'node:path'
import { PermanentError } from '@countersign/enforcer'
import { ed25519Key, generateEd25519, signRecord } from '@countersign/envelope'
import type { EventLog, LogRecord } from '@countersign/event-log'
import { ruleVersionOf } from '@countersign/policy'
import { instanceOf } from '@countersign/replica'
import { frame, registrationCodec, SIGNATURE_HEADER } from '@countersign/schemas'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { archiveSource } from '../archive/index.ts'
import { archiveAll } from '../archive/testing.ts'
import { type EvidenceSource, logSource, placeName } from '../source/index.ts'
import type { EventPlace } from './decided.ts'
import { type ExplainOptions, type Explanation, explain } from './explain.ts'
import type { Question } from './gather.ts'
import { World } from './testing.ts'

const EXPORT = { topic: 'invoices.export', action: 'export', object: 'invoice_id', scopes: ['invoices:export'] }
const CLASSES = [
  { name: 'export', ...EXPORT, attempts: 2, backoffMs: 1 },
  { name: 'patient', ...EXPORT, preset: 'finish-accepted' as const },
  { name: 'money', ...EXPORT, preset: 'money' as const, acr: ['mfa'], maxAuthAgeMs: 86_400_000 },
  { name: 'watched', ...EXPORT, observe: true },
  { name: 'strong', ...EXPORT, acr: ['hardware'] },
  { name: 'mail', topic: 'emails.send', action: 'send' },
]

let world: World
let options: ExplainOptions
const jobs: Record<string, EventPlace> = {}
let ended = -1

beforeAll(async () => {
  world = await new World(CLASSES).open()
  options = { catalogue: world.catalogue, rootKeys: world.rootKeys }
  jobs.done = await world.run('export', { session: 'ada' })
  jobs.bare = await world.run('export', { session: 'ada', envelope: null })
  jobs.other = await world.run('export', { session: 'ada', value: Buffer.from('something else') })
  jobs.rejected = await world.run('export', { session: 'ada' }, async () => {
    throw new PermanentError('no such invoice')
  })
  jobs.failed = await world.run('export', { session: 'ada' }, async () => {
    throw new TypeError('broken')
  })
  jobs.weak = await world.run('strong', { session: 'ada' })
  jobs.stopped = await world.run('export', { session: 'bob' }, async ({ signal }) => {
    await world.signal('bob')
    if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve))
  })
  jobs.paid = await world.run('money', { session: 'cora' }, async ({ commitIfAllowed }) => {
    commitIfAllowed(() => 'paid')
  })
  jobs.refused = await world.run('money', { session: 'dan' }, async ({ commitIfAllowed }) => {
    await world.signal('dan')
    commitIfAllowed(() => 'paid')
  })
  jobs.first = await world.run('export', { session: 'fay' }, async ({ derive }) => {
    const value = { invoice_id: 'inv-9', template: 'done', work_ms: 0 }
    jobs.derived = { topic: 'emails.send.v1', ...(await derive({ topic: 'emails.send', value, scope: [] })) }
  })
  await world.runAt(jobs.derived as EventPlace, 'mail')
  // Before the signal by any clock: identity raises above the version of the session, and this floor is the time alone.
  const began = { action: 'issuance' as const, at: Date.now() - 1_000, actor: 'sub-gus', sub: 'sub-gus' }
  await world.step({ ...began, tenant: 'acme', session: 'gus' })
  await world.signal('gus')
  const refused = { sub: 'sub-gus', tenant: 'acme', session: 'gus', outcome: 'credential_revoked', route: 'invoices' }
  await world.step({ action: 'enforcement', actor: 'sub-gus', ...refused, request_id: 'req_gus' })
  const early = { session: 'eve', ago: 5_000 }
  ended = await world.signal('eve')
  await world.checkpoints()
  jobs.denied = await world.run('export', early)
  jobs.finished = await world.run('patient', early)
  jobs.observed = await world.run('watched', early)
}, 30_000)
afterAll(() => world.close())

async function asked(question: Question, source = logSource(world.log, world.catalogue)): Promise<Explanation> {
  const found = await explain(source, question, options)
  expect(found).not.toBeNull()
  return found as Explanation
}

async function of(name: string): Promise<Explanation> {
  return asked({ name: placeName(jobs[name] as EventPlace) })
}

describe('each way a decision can go is made again, bit for bit', () => {
  it.each([
    ['done', ['executed allowed', 'executed allowed']],
    ['bare', ['dead_lettered envelope_missing']],
    ['other', ['dead_lettered envelope_payload_mismatch']],
    ['rejected', ['executed allowed', 'dead_lettered handler_rejected']],
    ['failed', ['executed allowed', 'dead_lettered handler_failed']],
    ['weak', ['denied acr_insufficient']],
    ['stopped', ['executed allowed', 'denied revoked_while_running']],
    ['paid', ['executed allowed', 'executed allowed']],
    ['refused', ['executed allowed', 'denied revoked_while_running']],
    ['denied', ['denied revoked_logout']],
    ['finished', ['executed allowed', 'executed allowed']],
    ['first', ['executed allowed', 'executed allowed', 'executed allowed', 'executed allowed']],
    ['observed', ['executed allowed', 'denied revoked_logout', 'executed allowed']],
  ])('%s', async (name, expected) => {
    const { decisions } = await of(name)
    const got = decisions.map(({ recorded: { outcome, reason } }) => `${outcome} ${reason}`)
    expect(got.toSorted()).toEqual(expected.toSorted())
    for (const { verdict, fields, named, recorded, recomputed } of decisions) {
      expect(fields.filter(({ same }) => !same)).toEqual([])
      expect({ verdict, named, recomputed }).toEqual({ verdict: 'reproduced', named: [], recomputed: recorded })
    }
  })
})

it('says the same by an archive, which holds no payload', async () => {
  const path = join(world.folder, 'archive.db')
  await archiveAll(path, world)
  const archive = archiveSource(path)
  for (const name of ['done', 'stopped', 'denied', 'first']) {
    const question = { name: placeName(jobs[name] as EventPlace) }
    const { lines, decisions } = await asked(question, archive)
    const { lines: onLog, decisions: ofLog } = await asked(question)
    expect({ lines, decisions }).toEqual({ lines: onLog, decisions: ofLog })
  }
  await archive.close()
})

it('says what it cannot make again, and why', async () => {
  const { progress: _, ...source } = logSource(world.log, world.catalogue)
  const bare = { ...source, async *progress() {} }
  const { decisions, lines } = await asked({ name: placeName(jobs.denied as EventPlace) }, bare)
  const [{ verdict, recomputed, named } = { verdict: null, recomputed: null, named: [] }] = decisions
  expect({ verdict, recomputed }).toEqual({ verdict: 'not_recomputable', recomputed: null })
  expect(named).toEqual([expect.stringMatching(/^rules \w{32} of class export are neither registered nor given$/)])
  expect(lines).toContainEqual(expect.stringMatching(/cannot be made again\.$/))
})

it.each(['no JSON', 'null', '{"name":"export"}'])('is not kept from it by who registers %s', async (rules) => {
  const key = generateEd25519()
  const instance = instanceOf(key.publicKey)
  const body = registrationCodec.encode({
    ...{ consumer: 'w9', instance, public_key: key.publicKey, voucher: Buffer.alloc(0), logs: ['main'] },
    classes: [{ name: 'export', logical_topic: 'invoices.export', rule_version: ruleVersionOf(rules), rules }],
    ...{ max_staleness_ms: 9, epsilon_ms: 250, at: 0 },
  })
  const value = frame(world.log.schemas.idOf(registrationCodec.name), body)
  const signature = signRecord('Registration', body, ed25519Key(instance.toString('hex'), key.privateKeyPem))
  await world.log.append('countersign.progress.v1', [{ key: null, value, headers: [[SIGNATURE_HEADER, signature]] }])
  expect((await of('denied')).decisions).toMatchObject([{ verdict: 'reproduced' }])
  const { decisions } = await asked({ name: placeName(jobs.denied as EventPlace) }, decidedBy(ruleVersionOf(rules)))
  expect(decisions).toMatchObject([{ verdict: 'not_recomputable' }])
})

/** The log, with every decision made by rules of that version. */
function decidedBy(version: string): EvidenceSource {
  const source = logSource(world.log, world.catalogue)
  return {
    ...source,
    async *decisions(asked) {
      for await (const one of source.decisions(asked)) yield { ...one, batch: { ...one.batch, rule_version: version } }
    },
  }
}

describe('in plain words', () => {
  it('tells why it was denied', async () => {
    const { lines } = await of('denied')
    expect(lines).toContainEqual(
      expect.stringMatching(
        /^\S+Z {2}api took a request of .* in acme \(session_cookie, session eve, request req_\w+\) and sealed job/,
      ),
    )
    expect(lines).toContainEqual(
      expect.stringMatching(/It was denied: .* because its session had been logged out \(session version/),
    )
    expect(lines).toContainEqual(expect.stringContaining(`Signal main:${ended}: session eve loses reason:logout below`))
    expect(lines.at(-1)).toBe('Made again offline: 1 of 1 decisions came out the same.')
  })

  it('tells why it ran although the session had ended', async () => {
    const { lines } = await of('finished')
    expect(lines).toContainEqual(expect.stringContaining('the class lets work finish that had been accepted before'))
    expect(lines).toContainEqual(
      expect.stringMatching(/^Why .* ran although its session .*: it had been accepted before/),
    )
  })

  it('tells who touched an object', async () => {
    const { lines } = await asked({ object: 'inv-0' })
    expect(lines[0]).toMatch(/^inv-0 was acted upon 1 times, by \S+ in acme; 0 more asked to\.$/)
  })

  it('tells what a session did, before and after its end', async () => {
    const { lines } = await asked({ session: 'eve' })
    expect(lines[0]).toBe('Session eve: 3 jobs, 2 executed, 1 not.')
    expect(lines[1]).toMatch(/^It had been logged out at \S+Z; of what it asked for 2 started after that\.$/)
  })

  it('tells what was derived of a job, by the name of either', async () => {
    const [first, derived] = [jobs.first, jobs.derived].map((job) => placeName(job as EventPlace))
    for (const name of [first, derived]) {
      const { lines } = await asked({ name: name as string })
      expect(lines).toContainEqual(
        expect.stringMatching(`w1 derived job ${derived} for .*, which came of ${first}: no scopes`),
      )
    }
  })

  it('tells why a request was refused', async () => {
    const { lines } = await asked({ name: 'req_gus' })
    expect(lines).toContainEqual(
      expect.stringMatching(
        /A request for invoices of sub-gus in acme, session gus was refused because its credential had been ended/,
      ),
    )
    expect(lines.at(-1)).toMatch(
      /^Why the request of \S+ was refused \(`credential_revoked`\): its session had been logged out: signal main:\d+ came \d+ ms before\.$/,
    )
  })

  it('knows nothing of what nobody named', async () => {
    expect(await explain(logSource(world.log, world.catalogue), { name: 'req_nobody' }, options)).toBeNull()
  })
})

describe('one byte altered changes the verdict or is named', () => {
  const STEP = 7
  beforeAll(keep)

  it.each([
    ['the envelope', (r: LogRecord) => r.topic === 'invoices.export.v1' && isAt(r, 'denied'), 'envelope'],
    ['the payload', (r: LogRecord) => r.topic === 'invoices.export.v1' && isAt(r, 'denied'), 'value'],
    ['the record key', (r: LogRecord) => r.topic === 'invoices.export.v1' && isAt(r, 'denied'), 'key'],
    ['the signal', (r: LogRecord) => r.topic === 'countersign.signals.v1' && r.offset === ended, 'value'],
    ['its signature', (r: LogRecord) => r.topic === 'countersign.signals.v1' && r.offset === ended, 'header'],
    ['the trust bundle', (r: LogRecord) => r.topic === 'countersign.signals.v1' && r.offset === 0, 'value'],
  ] as const)('%s', async (_, is, part) => {
    expect(await unnoticed(is, part, 'denied', STEP)).toEqual([])
  })

  it.each(['denied', 'done'])('the decision record of work that was %s', async (name) => {
    const records = new Set((await of(name)).decisions.map(({ record }) => record))
    expect(await unnoticed((r) => records.has(placeName({ ...r })), 'value', name, STEP)).toEqual([])
  })

  it('the rules', async () => {
    const { progress } = logSource(world.log, world.catalogue)
    let place = ''
    for await (const one of progress()) place ||= placeName(one.place)
    const known = await rulesBytes()
    const found = await unnoticed((r) => placeName({ ...r }) === place, 'value', 'denied', STEP, known)
    expect(found).toEqual([])
  })
})

function isAt({ offset }: LogRecord, name: string): boolean {
  return offset === jobs[name]?.offset
}

/** Where the rules of the class stand in the registration. */
async function rulesBytes(): Promise<readonly [number, number]> {
  for await (const { record } of logSource(world.log, world.catalogue).progress()) {
    const text = (record.value as Buffer).toString('latin1')
    const from = text.indexOf('{"acr"')
    if (from >= 0) return [from, text.indexOf('}', text.indexOf('"timeoutMs"', from)) + 1]
  }
  throw new Error('nothing is registered')
}

/** @returns positions of bytes that could be altered without changing or naming anything. */
async function unnoticed(
  is: (record: LogRecord) => boolean,
  part: 'envelope' | 'header' | 'value' | 'key',
  name: string,
  step: number,
  range: readonly [number, number] = [0, Infinity],
): Promise<number[]> {
  const missed: number[] = []
  let length = Infinity
  for (let at = range[0]; at < Math.min(length, range[1]); at += step) {
    const altered = (record: LogRecord): LogRecord => {
      if (!is(record)) return record
      const flip = (bytes: Uint8Array | null): Buffer => {
        const copy = Buffer.from(bytes as Uint8Array)
        length = copy.length
        if (at < copy.length) copy[at] = (copy[at] as number) ^ (1 << (at % 8))
        return copy
      }
      if (part === 'value' || part === 'key') return { ...record, [part]: flip(record[part]) }
      return { ...record, headers: record.headers.map(([header, value]) => [header, flip(value)]) }
    }
    if (!(await isNoticed(alteredSource(altered), name))) missed.push(at)
  }
  expect(length).toBeLessThan(100_000)
  return missed
}

async function isNoticed(source: EvidenceSource, name: string): Promise<boolean> {
  const before = counts.get(name) ?? (await of(name)).decisions.length
  counts.set(name, before)
  const found = await explain(source, { name: placeName(jobs[name] as EventPlace) }, options)
  if (found === null || found.decisions.length !== before) return true
  return found.decisions.some(({ verdict, named }) => verdict !== 'reproduced' || named.length > 0)
}

/** The log as it stood when first asked for, with what is altered on it. */
function alteredSource(altered: (record: LogRecord) => LogRecord): EvidenceSource {
  const { log, catalogue } = world
  const recordsOf = (topic: string, partition: number) => kept.get(`${topic}/${partition}`) ?? []
  const other = {
    schemas: log.schemas,
    bounds: async (topic: string, partition = 0) => ({ start: 0, end: recordsOf(topic, partition).length }),
    async *read({ topic, partition = 0 }: Parameters<EventLog['read']>[0]) {
      yield recordsOf(topic, partition).map(altered)
    },
  } as unknown as EventLog
  return logSource(other, catalogue)
}

const counts = new Map<string, number>()
const kept = new Map<string, readonly LogRecord[]>()

async function keep(): Promise<void> {
  for (const { name: topic, partitions } of world.catalogue.entries) {
    for (let partition = 0; partition < partitions; partition++) {
      const { start: from, end: to } = await world.log.bounds(topic, partition)
      if (from === to) continue
      const records: LogRecord[] = []
      for await (const chunk of world.log.read({ topic, partition, from, to })) records.push(...chunk)
      kept.set(`${topic}/${partition}`, records)
    }
  }
}
