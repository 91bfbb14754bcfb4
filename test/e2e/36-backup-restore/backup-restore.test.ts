/**
 * The drill of infra/runbooks/backup-and-restore.md: a backup taken while everybody works, then each loss it is for. What was
 * ended stays ended as long as one of store and log is left; with neither, everybody is out.
 */
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { systemClock } from '@countersign/kernel'
import { EXIT, runProgram } from '@countersign/ops'
import { afterAll, expect, test } from 'vitest'
import { becomes, PASSWORD, Site, until } from '../site.ts'

const payment = { invoice_id: 'acme-1001', amount_cents: '100' }
/** As an operator types it. */
async function countersign(...argv: string[]): Promise<{ readonly code: number; readonly said: readonly string[] }> {
  const said: string[] = []
  const terminal = { out: (line: string) => void said.push(line), say: (line: string) => void said.push(line) }
  const signal = new AbortController().signal
  const code = await runProgram({ argv, env: {}, terminal, clock: systemClock, signal })
  return { code, said }
}

/** One site, and what is done to it. */
class Drill {
  readonly site: Site

  constructor(site: Site) {
    this.site = site
  }

  async backedUp(name: string): Promise<string> {
    const folder = join(this.site.folder, name)
    const files = ['store.db', 'log.db'].map((file) => join(this.site.folder, file))
    expect((await countersign('backup', 'make', ...files, '--to', folder)).code).toBe(EXIT.ok)
    expect((await countersign('backup', 'check', folder)).code).toBe(EXIT.ok)
    return folder
  }

  /** @param lost files that are gone, and come back as they were then. */
  async restored(folder: string, ...lost: readonly string[]): Promise<void> {
    await this.site.stop()
    for (const file of lost) {
      for (const suffix of ['', '-wal', '-shm']) rmSync(join(this.site.folder, `${file}${suffix}`), { force: true })
      writeFileSync(join(this.site.folder, file), readFileSync(join(folder, file)), { mode: 0o600 })
    }
    await this.site.startAgain()
  }

  async mayPay(cookie: string): Promise<boolean> {
    return (await this.site.post('/payments', cookie, { ...payment, amount_cents: 1 })).status === 202
  }

  async loginStatus(name: string): Promise<number> {
    const headers = { 'content-type': 'application/json' }
    const body = JSON.stringify({ email: `${name}@example.com`, password: PASSWORD })
    return (await fetch(`${this.site.identity.address}/login`, { method: 'POST', headers, body })).status
  }

  async suspended(name: string): Promise<number> {
    const answer = await this.site.operate('POST', `/v1/subjects/sub_${name}/suspend`, {})
    const asked = (): Promise<Record<string, unknown>> => this.site.operate('GET', `/v1/revocations/${answer.id}`)
    await until(`${name} is suspended`, async () => (await asked()).state === 'acknowledged')
    return answer.seq as number
  }

  async works(cookie: string): Promise<void> {
    await until('may pay', () => this.mayPay(cookie))
    const job = await this.site.watched('/payments', cookie, { ...payment, work_ms: '1' })
    await becomes(job, { state: 'executed' })
  }
}

const sites: Site[] = []
async function drill(): Promise<Drill> {
  // A key of a log so young signs for a new bundle only once that time has passed.
  const site = await Site.start({ people: 4, identity: { MAX_STALENESS: '1500ms' } })
  sites.push(site)
  return new Drill(site)
}
afterAll(async () => {
  for (const site of sites) await site.close()
})

test.concurrent('the store is lost: what was ended since comes back from the log, and nobody who was in is thrown out', async () => {
  const at = await drill()
  const [ann, zero] = [await at.site.login('ann'), await at.site.login('person-0')]
  const backup = await at.backedUp('first')
  const last = await at.suspended('person-0')
  const late = await at.site.login('person-1')
  await at.restored(backup, 'store.db')
  await at.works(ann)
  expect(await at.mayPay(zero)).toBe(false)
  await until('the suspension is known', async () => (await at.loginStatus('person-0')) === 401)
  // Begun since, so nobody knows of it; its person logs in again.
  expect(await at.mayPay(late)).toBe(false)
  await at.works(await at.site.login('person-1'))
  expect(await at.suspended('bob')).toBeGreaterThan(last)
}, 60_000)

test.concurrent('the log is lost: the notary writes again what it does not have, and signs nothing before', async () => {
  const at = await drill()
  const [ann, two] = [await at.site.login('ann'), await at.site.login('person-2')]
  const backup = await at.backedUp('second')
  await at.suspended('person-2')
  await at.restored(backup, 'log.db')
  await at.works(ann)
  expect(await at.mayPay(two)).toBe(false)
  expect(at.site.lines.filter((line) => line.includes('the signals log is replaced')).length).toBe(1)
}, 60_000)

test.concurrent('both are lost: nobody knows what was ended since, so everybody is ended', async () => {
  const at = await drill()
  const [ann, three] = [await at.site.login('ann'), await at.site.login('person-3')]
  const backup = await at.backedUp('third')
  await at.suspended('person-3')
  await at.restored(backup, 'store.db', 'log.db')
  await until('the view is fresh', () => at.mayPay(ann))
  // It came back to life: only an operator can tell.
  expect(await at.mayPay(three)).toBe(true)
  for (const id of ['acme', 'globex', 'doctor']) {
    const target = { kind: 'tenant', tenant: id }
    const request = { id: crypto.randomUUID(), target, reason: 'compromise', cause: 'restore' }
    const asked = (): Promise<Record<string, unknown>> => at.site.operate('POST', '/v1/revocations', request)
    await until(`${id} is ended`, async () => (await asked()).state === 'acknowledged')
  }
  await until('ann is out', async () => !(await at.mayPay(ann)))
  expect(await at.mayPay(three)).toBe(false)
  await at.works(await at.site.login('ann'))
}, 60_000)

test('a copy that was changed, or is not whole, is not taken for a backup', async () => {
  const at = new Drill(sites[0] as Site)
  const backup = await at.backedUp('fourth')
  const file = join(backup, 'log.db')
  const bytes = readFileSync(file)
  bytes[bytes.length - 100] = (bytes[bytes.length - 100] as number) ^ 1
  writeFileSync(file, bytes)
  const checked = await countersign('backup', 'check', backup)
  expect([checked.code, checked.said[0]]).toEqual([EXIT.differs, 'log.db: is not what was written'])
  rmSync(file)
  expect((await countersign('backup', 'check', backup)).said[0]).toBe('log.db: is missing')
  const again = await countersign('backup', 'make', at.site.logPath, '--to', backup)
  expect([again.code, again.said]).toEqual([
    EXIT.usage,
    [`countersign: ${backup} holds a backup: name a folder that has none`],
  ])
})
