/** Commands that show what stands on topics: inspect, export, tail of more topics. */
import { readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { seal } from '@countersign/envelope'
import { testAuthority, testClaims, testEvent } from '@countersign/envelope/testing'
import { SIGNALS_TOPIC } from '@countersign/replica'
import { importBloomFilter, targetKey } from '@countersign/revocation'
import { ENVELOPE_HEADER, frame, progressCodec } from '@countersign/schemas'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { EmbeddedLog, run } from './testing.ts'

const JOBS = 'invoices.export.v1'
const SESSION = { kind: 'session', tenant: '', id: 's1' } as const
const authority = testAuthority(7, (grant) => ({ ...grant, not_before: 0 }))

let embedded: EmbeddedLog
let data: string[]

beforeEach(async () => {
  embedded = new EmbeddedLog()
  data = ['--data', embedded.folder]
  const { scribe } = embedded
  scribe.bundle({ keys: [...scribe.keys.grants, ...authority.bundle.keys.filter(({ use }) => use === 'envelope')] })
  scribe.begin()
  scribe.checkpoint()
  scribe.signal({ target: SESSION })
  scribe.checkpoint()
  await embedded.flush()
})

afterEach(async () => {
  await embedded.close()
  rmSync(embedded.folder, { recursive: true, force: true })
})

/** A job under an envelope, on partition 3. @returns the envelope. */
async function job(value = Buffer.from('secret payload'), sent = value): Promise<Buffer> {
  const now = Date.now()
  const claims = testClaims({ event: testEvent(0, value), iat: now, exp: now + 60_000 })
  const [envelope] = seal([claims], authority.keys.envelope)
  const log = await embedded.open()
  const headers = [[ENVELOPE_HEADER, envelope as Buffer]] as const
  await log.append(JOBS, [{ key: claims.event.key, value: sent, headers, partition: 3 }])
  return envelope as Buffer
}

async function facts(...argv: string[]): Promise<Record<string, unknown>> {
  const { code, out, talk } = await run([...argv, '-o', 'json'])
  expect(code, talk).toBe(0)
  return JSON.parse(out) as Record<string, unknown>
}

describe('inspect', () => {
  it.each(['/', '/dev/zero', 'A'.repeat(5_000), ''])('says of what is no envelope that it is none', async (what) => {
    expect((await run(['inspect', what])).code).toBe(2)
  })

  it('decodes a job, says whether its envelope holds for it, and never shows its payload', async () => {
    await job()
    await job(Buffer.from('secret payload'), Buffer.from('another payload'))
    const found = await facts('inspect', ...data, `${JOBS}/3/0`)
    expect(found).toMatchObject({
      place: `${JOBS}/3/0`,
      role: 'jobs',
      value: { bytes: 14, schema: 'unknown' },
      signature: 'valid',
      envelope: { keyId: authority.keys.envelope.keyId, aud: 'billing-export' },
    })
    expect(JSON.stringify(found)).not.toContain('secret payload')
    expect((await facts('inspect', ...data, 'invoices.export/3/1')).signature).toBe('envelope_payload_mismatch')
    const log = ['--log', join(embedded.folder, 'log.db')]
    expect((await facts('inspect', ...log, `${JOBS}/3/0`)).signature).toBe('unchecked')
  })

  it('decodes records of the signals log under the bundle that stood before them', async () => {
    expect(await facts('inspect', ...data, `${SIGNALS_TOPIC}/0/3`)).toMatchObject({
      kind: 'Signal',
      signature: 'valid',
      record: { target: { id: 's1' } },
    })
    const { out } = await run(['inspect', ...data, `${SIGNALS_TOPIC}/0/0`])
    expect(out).toMatch(/^ signature +valid$/m)
  })

  it('reads an envelope from a file, in base64 and in hex, without any log', async () => {
    const envelope = await job()
    const file = join(embedded.folder, 'envelope.bin')
    writeFileSync(file, envelope)
    for (const what of [file, envelope.toString('base64'), envelope.toString('base64url'), envelope.toString('hex')]) {
      expect(await facts('inspect', what)).toMatchObject({ signature: 'unchecked', claims: { aud: 'billing-export' } })
    }
  })

  it.each([
    ['nothing', 2, 'name a place, topic/partition/offset, or an envelope'],
    ['nowhere/0/0', 2, 'the topic is one of countersign.signals.v1'],
    [`${JOBS}/9/0`, 2, 'has partitions 0 to 5, not 9'],
    [`${JOBS}/0/7`, 1, 'it holds [0, 0)'],
  ])('says of %s what would be right', async (what, code, hint) => {
    expect(await run(['inspect', ...data, what])).toMatchObject({ code, out: '', talk: expect.stringContaining(hint) })
  })
})

describe('export', () => {
  it('writes a filter that the bloom-filters package reads, or each floor', async () => {
    const file = join(embedded.folder, 'deny.json')
    const precious = join(embedded.folder, 'precious')
    writeFileSync(precious, 'precious')
    symlinkSync(precious, `${file}.new`)
    const { code, out, talk } = await run(['export', ...data, '--out', file])
    expect(readFileSync(precious, 'utf8')).toBe('precious')
    expect([code, out]).toEqual([0, ''])
    expect(talk).toContain('1 floors on 1 targets')
    const { filter, capacity, log_id, kind } = JSON.parse(readFileSync(file, 'utf8'))
    expect([log_id, kind]).toEqual(['log-1', 'countersign.deny-filter.v1'])
    const read = importBloomFilter(filter, capacity)
    expect(read.has(targetKey(SESSION))).toBe(true)
    expect(read.has(targetKey({ ...SESSION, id: 's2' }))).toBe(false)
    const floors = (await run(['export', ...data, '--format', 'floors'])).out
      .split('\n')
      .map((line) => JSON.parse(line))
    expect(floors).toMatchObject([
      { kind: 'countersign.floors.v1', count: 1, digest: embedded.scribe.view.digest().toString('hex') },
      { target: targetKey(SESSION).toString('hex'), effect: 'reason:logout', fallback: 'logout' },
    ])
  })

  it('writes nothing of a log that lacks something', async () => {
    embedded.scribe.view.apply({
      key: Buffer.alloc(16),
      effect: 'reason:logout',
      fallback: 'logout',
      floor: Date.now(),
    })
    embedded.scribe.checkpoint()
    embedded.scribe.checkpoint()
    await embedded.flush()
    const { code, out, talk } = await run(['export', ...data])
    expect([code, out]).toEqual([3, ''])
    expect(talk).toContain('nothing is exported')
  })
})

it('tails the progress of consumers, and says what it cannot read', async () => {
  const log = await embedded.open()
  const body = progressCodec.encode({
    consumer: 'worker-1',
    log_id: 'log-1',
    offset: 4,
    as_of: 1_000,
    count: 1,
    digest: Buffer.alloc(32, 1),
    max_staleness_ms: 5_000,
    at: 2_000,
    state: 'ready',
    instance: Buffer.alloc(16, 2),
    digest_offset: 3,
    applied: [{ offset: 2, at: 1_500 }],
    unlisted: 0,
  })
  const value = frame(log.schemas.idOf('countersign.Progress'), body)
  await log.append('countersign.progress.v1', [{ key: Buffer.from('worker-1'), value, headers: [] }])
  await log.append('countersign.progress.v1', [{ key: null, value: Buffer.from('noise'), headers: [] }])
  const tail = ['tail', ...data, '--topic', 'progress', '--from', 'start', '-e']
  const { out } = await run(tail)
  expect(out.split('\n').map((line) => line.slice(26))).toEqual([
    'ready         worker-1 at log-1/4: 1 floors as of 1970-01-01T00:00:01.000Z, applied 2',
    'unreadable',
  ])
  const [line] = (await run([...tail, '-o', 'json', '--kind', 'ready'])).out.split('\n')
  expect(JSON.parse(line ?? '')).toMatchObject({ progress: { instance: '02'.repeat(16), digest_offset: 3 } })
  expect((await run([...tail, '--kind', 'unreadable'])).out).toContain('unreadable')
})
