/**
 * A plain kafkajs consumer, and the few lines that make it an enforced one: on a real broker, in processes of its own, with
 * jobs of people who log in and out.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { EventLog } from '@countersign/event-log'
import { openKafkaLog, provisionKafka } from '@countersign/event-log/kafka'
import { exampleCatalogue as catalogue, frame, invoiceExportCodec, readDecisions } from '@countersign/schemas'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { down, up } from '../../../infra/stack/index.ts'
import { kafka } from '../../brokers.ts'
import { Site, until } from '../site.ts'

const EXAMPLE = join(import.meta.dirname, '../../examples/invoice-exporter')
// Inside the repository, so that the packages resolve as they do for a user.
const CACHE = join(EXAMPLE, '.cache')
const diff = readFileSync(join(EXAMPLE, 'enforced.diff'), 'utf8')

test('ten lines change at most', () => {
  expect(diff.split('\n').filter((line) => /^[+-](?![+-]{2} )/.test(line)).length).toBeLessThanOrEqual(10)
})

describe.skipIf(kafka() === null)('a consumer that was there before', () => {
  const folder = mkdtempSync(join(tmpdir(), 'countersign-exporter-'))
  // A signals log has one root: what other tests left on a broker they share would be a foreign one.
  const stack = join(folder, 'stack')
  const exportsFile = join(folder, 'exports.txt')
  let site: Site
  let log: EventLog
  let env: NodeJS.ProcessEnv
  let running: ChildProcess | null = null

  beforeAll(async () => {
    copyFileSync(join(EXAMPLE, 'exporter.ts'), join(folder, 'exporter.ts'))
    execFileSync('git', ['apply', '-p0'], { cwd: folder, input: diff })
    mkdirSync(CACHE, { recursive: true })
    copyFileSync(join(folder, 'exporter.ts'), join(CACHE, 'enforced.ts'))
    const { brokers, registryUrl } = await up({ brokers: 1, dir: stack })
    const at = { brokers: [...brokers], registryUrl, catalogue, clientId: 'setup', registryDeadlineMs: 20_000 }
    await provisionKafka({ ...at, windowMs: 3_600_000 })
    log = await openKafkaLog(at)
    site = await Site.start({ kafka: { brokers, registryUrl }, worker: false })
    env = { KAFKA_BROKERS: brokers.join(), REGISTRY_URL: registryUrl, EXPORTS: exportsFile, ROOT_KEY: site.rootKey }
  }, 180_000)

  afterAll(async () => {
    running?.kill('SIGKILL')
    await site?.close()
    await log?.close()
    await down({ dir: stack })
    rmSync(folder, { recursive: true, force: true })
    rmSync(CACHE, { recursive: true, force: true })
  }, 60_000)

  function start(file: string): void {
    const args = ['--conditions=@countersign/source', '--disable-warning=ExperimentalWarning', file]
    running = spawn(process.execPath, args, { env: { ...process.env, ...env }, stdio: ['ignore', 'ignore', 'inherit'] })
  }

  /** @returns the exit code: it ends by itself once it has left its group. */
  async function stop(): Promise<unknown> {
    const child = running as ChildProcess
    running = null
    const ended = once(child, 'exit')
    child.kill('SIGTERM')
    return (await ended)[0]
  }

  const exported = (): string[] => (existsSync(exportsFile) ? readFileSync(exportsFile, 'utf8').trim().split('\n') : [])

  /** A job that no boundary sealed. */
  async function sendBare(invoice_id: string): Promise<void> {
    const id = log.schemas.idOf(invoiceExportCodec.name)
    const value = frame(id, invoiceExportCodec.encode({ invoice_id, format: 'csv', work_ms: 0 }))
    await log.append('invoices.export.v1', [{ key: Buffer.from(invoice_id), value, headers: [] }])
  }

  /** Why work was not done, in the decisions. */
  async function refusals(): Promise<string[]> {
    const found: string[] = []
    const topic = 'countersign.decisions.v1'
    for (let partition = 0; partition < 12; partition++) {
      const { start: from, end: to } = await log.bounds(topic, partition)
      for await (const records of log.read({ topic, partition, from, to })) {
        for (const { value } of records) {
          const batch = readDecisions(value, log.schemas)
          if (batch?.phase === 'final') found.push(...batch.exceptions.map(({ reason }) => reason))
        }
      }
    }
    return found.sort()
  }

  test('exports whatever it is sent, for whomever, whatever has ended since', async () => {
    start(join(EXAMPLE, 'exporter.ts'))
    const bob = await site.login('bob')
    expect((await site.post('/invoices/acme-1001/export', bob)).status).toBe(202)
    await sendBare('nobody-1')
    await until('both exported', () => exported().length === 2)
    expect(exported().sort()).toEqual(['acme-1001.csv', 'nobody-1.csv'])
    expect(await stop()).toBe(0)
  }, 60_000)

  test('with the diff applied exports what is authorised now, and nothing else', async () => {
    const [ann, bob] = [await site.login('ann'), await site.login('bob')]
    expect((await site.post('/invoices/acme-1002/export', bob)).status).toBe(202)
    expect((await site.post('/invoices/acme-1003/export', ann)).status).toBe(202)
    await sendBare('nobody-2')
    expect((await site.logout(bob)).state).toBe('acknowledged')
    start(join(CACHE, 'enforced.ts'))
    await until('ann’s exported', () => exported().includes('acme-1003.csv'))
    await until('the others refused', async () => (await refusals()).length === 2)
    expect(await refusals()).toEqual(['envelope_missing', 'revoked_logout'])
    expect(exported()).toHaveLength(3)
    expect(await stop()).toBe(0)
  }, 60_000)
})
