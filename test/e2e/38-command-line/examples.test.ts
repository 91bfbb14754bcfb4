/** Every example of every command's help, run as it is written there, in a folder where things are as they say. */
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { config as auditConfig, startAudit } from '@countersign/audit'
import { headerOf } from '@countersign/envelope'
import type { EventLog } from '@countersign/event-log'
import { openSqliteLog } from '@countersign/event-log/sqlite'
import { loadConfig, systemClock } from '@countersign/kernel'
import { EXIT, programExamples } from '@countersign/ops'
import { exampleCatalogue, frame, type JourneyEvent, journeyEventCodec } from '@countersign/schemas'
import { silentLogger } from '@countersign/telemetry'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { OPERATOR_SECRET, Site, until } from '../site.ts'
import { type } from './commands.ts'

const home = process.cwd()
const folder = mkdtempSync(join(tmpdir(), 'countersign-examples-'))
const terminal = { out: () => {}, say: () => {} }
const { signal } = new AbortController()
const commands = programExamples({ env: {}, terminal, clock: systemClock, signal })

let site: Site
let env: Readonly<Record<string, string>>

beforeAll(async () => {
  site = await Site.start()
  env = {
    COUNTERSIGN_IDENTITY_URL: site.identity.address ?? '',
    COUNTERSIGN_OPERATOR_SECRET: OPERATOR_SECRET,
  }
  const cookie = await site.login('bob')
  await site.post('/invoices/acme-1001/export', { cookie, 'x-correlation-id': 'cor_Qm9vIQ' })
  // Keyed by invoice: one of them stands on the first partition.
  for (let i = 1002; i < 1008; i++) await site.post(`/invoices/acme-${i}/export`, cookie)
  await until('the jobs to be done', () => site.history('end').length > 0)
  symlinkSync(site.folder, join(folder, 'data'))
  const log = await openSqliteLog({ path: site.logPath, catalogue: exampleCatalogue })
  await tell(log)
  await writeFiles(log)
  await log.close()
  await archive()
  process.chdir(folder)
}, 60_000)

afterAll(async () => {
  process.chdir(home)
  await site?.close()
  rmSync(folder, { recursive: true, force: true })
})

/** Handles that the examples name, as if identity had made them. */
async function tell(log: EventLog): Promise<void> {
  const nothing = { sub: null, tenant: null, session: null, family: null, token: null, device: null, client: null }
  const more = { parent: null, origin: null, cause: null, target: null, effect: null, revocation: null, rule: null }
  const names = { request_id: null, trace_id: null, txn: null, acr: null, route: null, correlation_id: null }
  const shared = { ...nothing, ...more, ...names, actor: 'usr_9f86', sub: 'usr_9f86', tenant: 'acme', lineage: [] }
  const event: JourneyEvent = {
    ...shared,
    id: Buffer.alloc(16, 7),
    at: Date.now(),
    action: 'issuance',
    audience: [],
    scopes: [],
    outcome: 'issued',
    latency_ms: 1,
    session: 'ses_2c26b4',
    token: 'tok_AbC',
  }
  const value = frame(log.schemas.idOf('countersign.JourneyEvent'), journeyEventCodec.encode(event))
  await log.append('countersign.journey.v1', [{ key: Buffer.from('usr_9f86'), value, headers: [] }])
}

/** As much of an archive as the log has by now. */
async function archive(): Promise<void> {
  const values = {
    LOG_PATH: site.logPath,
    ARCHIVE_PATH: join(site.folder, 'archive.db'),
    AUDIT_KEY_FILE: site.keyFile('audit'),
    CHECKPOINT_EVERY: '100ms',
    HTTP_PORT: '0',
  }
  const named = Object.entries(values).map(([name, value]) => [`COUNTERSIGN_${name}`, value])
  const audit = await startAudit(loadConfig(auditConfig, Object.fromEntries(named)), silentLogger)
  await until('the archive to be complete', async () => (await fetch(`${audit.address}/readyz`)).ok)
  await audit.close()
}

async function writeFiles(log: EventLog): Promise<void> {
  const rules = (await (await fetch(`${site.worker.address}/v1/job-classes`)).json()) as object[]
  writeFileSync(join(folder, 'job-classes.json'), JSON.stringify(rules))
  const cases = [{ name: 'nothing hit', class: 'export', expect: { outcome: 'allow' } }]
  writeFileSync(join(folder, 'cases.json'), JSON.stringify({ classes: 'job-classes.json', cases }))
  for (let partition = 0; partition < 6; partition++) {
    const topic = 'invoices.export.v1'
    const { start, end } = await log.bounds(topic, partition)
    for await (const records of log.read({ topic, partition, from: start, to: end })) {
      const header = headerOf(records[0]?.headers ?? [])
      if (header.ok) writeFileSync(join(folder, 'envelope.bin'), header.bytes)
    }
  }
}

it('countersign --help names every group of commands, and what each exit code means', async () => {
  const { code, out, talk } = await type('--help')
  expect([code, talk]).toEqual([0, ''])
  for (const { command } of commands) expect(out).toMatch(new RegExp(`^ {2}${command.split(' ')[0]} `, 'm'))
  expect(out.match(/^ {2}\d {2}/gm)).toHaveLength(Object.keys(EXIT).length)
})

describe.each(commands)('$command', ({ command, examples }) => {
  it('has examples, and shows them in its help', async () => {
    const help = await type(`${command} --help`)
    expect(help.code).toBe(0)
    const shown = [...help.out.matchAll(/^ {2}countersign (.+)$/gm)].map(([, line]) => line)
    expect(shown).toEqual(examples.map(({ run }) => run))
    expect(shown).not.toEqual([])
  })

  it.each(examples)('$run', async ({ run, exit }) => {
    const { code, out, talk } = await type(run, env)
    expect(code, `${talk}\n${out}`).toBe(exit)
    expect(talk).not.toContain('unexpected failure')
  })
})
