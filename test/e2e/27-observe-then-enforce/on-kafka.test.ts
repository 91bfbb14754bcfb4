/** The same comparison where signals, jobs and decisions stand on a real broker. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createEnforcer } from '@countersign/enforcer'
import { FakeView } from '@countersign/enforcer/testing'
import { ed25519Key, generateEd25519, seal } from '@countersign/envelope'
import { testClaims, testEvent, testId } from '@countersign/envelope/testing'
import { openKafkaLog, provisionKafka } from '@countersign/event-log/kafka'
import { systemClock, systemRandom } from '@countersign/kernel'
import { FakeClock } from '@countersign/kernel/testing'
import { runProgram } from '@countersign/ops'
import { defineJobClass } from '@countersign/policy'
import { SIGNALS_TOPIC } from '@countersign/replica'
import { MemoryLog, Scribe, testKeys, testSchemas } from '@countersign/replica/testing'
import { targetKey } from '@countersign/revocation'
import { ENVELOPE_HEADER, frame, invoiceExportCodec, unframe } from '@countersign/schemas'
import { silentLogger } from '@countersign/telemetry'
import { afterEach, expect, test } from 'vitest'
import { kafka as found } from '../../brokers.ts'
import catalogue from './catalogue.ts'

const kafka = found()
const ends: (() => unknown)[] = []
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

const LOGICAL = 'observe-then-enforce'
const TOPIC = `${LOGICAL}.v1`

test.skipIf(kafka === null)('what was observed on Kafka is compared with what will be enforced', async () => {
  const { brokers, registryUrl } = kafka ?? { brokers: [], registryUrl: '' }
  const folder = mkdtempSync(join(tmpdir(), 'countersign-e2e-'))
  ends.push(() => rmSync(folder, { recursive: true, force: true }))
  const at = { brokers, registryUrl, catalogue, clientId: LOGICAL, registryDeadlineMs: 20_000 }
  await provisionKafka({ ...at, windowMs: 3_600_000 })
  const log = await openKafkaLog(at)
  ends.push(() => log.close())

  // Keys of this run alone: whatever else stands on the signals log is not signed by them.
  const { publicKey, privateKeyPem } = generateEd25519()
  const scribe = new Scribe(new MemoryLog(systemClock), testKeys(systemRandom.bytes(4).readUInt32BE()))
  const always = { tenants: ['*'], topics: ['*'], not_before: 0, not_after: 8e12 }
  const grant = { key_id: 'env-1', public_key: publicKey, use: 'envelope' as const, ...always }
  scribe.bundle({ keys: [...scribe.keys.grants, grant] })
  scribe.begin()
  const leaver = { kind: 'session', tenant: '', id: 'ses_leaver' } as const
  const sealedAt = Date.now() - 60_000
  scribe.signal({ target: leaver, effect: 'reason:logout', fallback: 'logout', floor: Date.now() - 1_000 })
  const records = scribe.log.partition().records.map((record) => {
    const { id = 0, body = Buffer.alloc(0) } = unframe(record.value) ?? {}
    // Ids of the registry, not of the catalogue.
    return { ...record, value: frame(log.schemas.idOf(testSchemas.schemaOf(id)?.name ?? ''), body) }
  })
  const [last] = (await log.append(SIGNALS_TOPIC, records)).slice(-1)

  const view = new FakeView(new FakeClock())
  view.keys = scribe.ring
  view.offset = last?.offset ?? -1
  view.fresh = { proven: true, closed: null, asOf: Date.now(), ageMs: 300, storeUnseenForMs: 0 }
  view.raise(targetKey(leaver), 'reason:logout', Date.now() - 1_000)
  const name = `export-${systemRandom.bytes(4).toString('hex')}`
  const rules = { name, topic: LOGICAL, action: 'export' }
  const enforcer = createEnforcer({
    ...{
      replica: view,
      log,
      catalogue,
      clock: systemClock,
      random: systemRandom,
      consumer: name,
      logger: silentLogger,
    },
    classes: [defineJobClass({ ...rules, observe: true })],
  })
  const sealing = ed25519Key('env-1', privateKeyPem)
  const ran: string[] = []
  for (const [i, session] of ['ses_leaver', 'ses_stayer'].entries()) {
    const payload = { invoice_id: session, format: 'csv', work_ms: 0 }
    const value = frame(log.schemas.idOf(invoiceExportCodec.name), invoiceExportCodec.encode(payload))
    const key = targetKey({ kind: 'session', tenant: '', id: session })
    const targets = [{ kind: 'session' as const, key, version: sealedAt }]
    const position = { log_id: scribe.logId, offset: 0 }
    const tctx = { ...testClaims().tctx, targets, scope_version: sealedAt, position }
    const event = { ...testEvent(i, value), topic: LOGICAL, key: null, id: testId(i) }
    const claims = testClaims({ iat: sealedAt, exp: sealedAt + 3_600_000, tctx, event })
    const envelope = seal([claims], sealing)[0] as Buffer
    const partition = i
    const record = { key: null, value, headers: [[ENVELOPE_HEADER, envelope]] as const, partition }
    const [{ offset } = { offset: -1 }] = await log.append(TOPIC, [record])
    const job = { topic: TOPIC, partition, offset, key: null, value, headers: { [ENVELOPE_HEADER]: envelope } }
    await enforcer.run(name, job, ({ identity }) => void ran.push(identity.sub))
  }
  expect(ran, 'observed: both ran').toHaveLength(2)

  const classes = join(folder, 'job-classes.json')
  writeFileSync(classes, JSON.stringify([rules]))
  const out: string[] = []
  const module = join(import.meta.dirname, 'catalogue.ts')
  const argv = ['policy', 'diff', '--brokers', brokers.join(), '--registry', registryUrl, '--catalogue', module]
  argv.push('--root-key', scribe.keys.rootPublic.toString('base64'), '--classes', classes, '-o', 'json')
  const terminal = { out: (line: string) => void out.push(line), say: () => {} }
  const code = await runProgram({ argv, env: {}, terminal, clock: systemClock, signal: new AbortController().signal })
  expect(JSON.parse(out.join('') || '{}')).toMatchObject({
    classes: { [name]: { decisions: 2, turned: 1, gone: 0 } },
    turns: [{ partition: 0, was: { outcome: 'executed' }, becomes: { outcome: 'denied', reason: 'revoked_logout' } }],
  })
  expect(code).toBe(3)
})
