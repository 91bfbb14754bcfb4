/** Every secret there is goes through a whole run; then every place that outlives a request is searched for it. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { openSqliteLog } from '@countersign/event-log/sqlite'
import { exampleCatalogue } from '@countersign/schemas'
import { Webhook } from 'standardwebhooks'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { PATTERNS } from '../12-credential-patterns/patterns.ts'
import {
  becomes,
  CLIENT_SECRET,
  OPERATOR_SECRET,
  PASSWORD,
  SCHEDULE_SECRET,
  SERVICE_SECRET,
  Site,
  until,
  WEBHOOK_SECRET,
} from '../site.ts'

const JWT = 'eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJjYW5hcnkifQ.Y2FuYXJ5LXNpZ25hdHVyZQ'
const CANARY = 'canary-4f1c'
const pay = { invoice_id: 'acme-1001', amount_cents: '100', work_ms: '0' }

let site: Site
const secrets: Record<string, string> = {
  password: PASSWORD,
  'operator secret': OPERATOR_SECRET,
  'service secret': SERVICE_SECRET,
  'schedule secret': SCHEDULE_SECRET,
  'webhook secret': WEBHOOK_SECRET,
  'webhook key': WEBHOOK_SECRET.slice('whsec_'.length),
  'bearer token': JWT,
  'anything else that was typed or sent': CANARY,
}
/** Places by name. */
const places = new Map<string, string>()

beforeAll(async () => {
  site = await Site.start()
  await liveADay()
  places.set('log lines', site.lines.join(''))
  for (const name of ['identity', 'notary', 'api', 'worker'] as const) {
    const metrics = await fetch(`${site[name].address}/metrics`)
    places.set(`metrics of ${name}`, await metrics.text())
  }
  places.set('topics', await everyTopic())
  for (const file of readdirSync(site.folder)) {
    if (file !== 'keys') places.set(`file ${file}`, readFileSync(join(site.folder, file), 'latin1'))
  }
  for (const file of readdirSync(join(site.folder, 'keys')).filter((name) => name.endsWith('.pem'))) {
    secrets[`private key ${file}`] = readFileSync(join(site.folder, 'keys', file), 'utf8').split('\n')[1] ?? ''
  }
}, 90_000)
afterAll(() => site?.close())

test('what does travel is found, so that the search would find more', () => {
  const found = (text: string): string[] => [...places].filter(([, held]) => held.includes(text)).map(([name]) => name)
  expect(found('sub_bob')).toEqual(expect.arrayContaining(['topics', expect.stringContaining('file log.db')]))
  expect(found('acme-1001')).toContain('topics')
  expect(found('"listening"')).toEqual(['log lines'])
  expect([...places.keys()].filter((name) => name.startsWith('metrics'))).toHaveLength(4)
  for (const [name, text] of places) if (name.startsWith('metrics')) expect(text).toContain('countersign_')
})

test('no secret is in a log line, a topic, a metric or a file', () => {
  expect(Object.keys(secrets).length).toBeGreaterThan(12)
  for (const [what, secret] of Object.entries(secrets)) {
    expect(secret.length, what).toBeGreaterThan(8)
    for (const [place, text] of places) expect(text.includes(secret), `${what} in ${place}`).toBe(false)
  }
})

test('no address of a person is in a log line, a topic or a metric', () => {
  for (const [place, text] of places)
    if (!/store\.db/.test(place)) expect(text.includes('example.com'), place).toBe(false)
})

/** All kinds of credentials, good, bad and misplaced. */
async function liveADay(): Promise<void> {
  const [ann, bob] = [await site.login('ann'), await site.login('bob')]
  secrets['session cookie of ann'] = ann.slice(ann.indexOf('=') + 1)
  secrets['session cookie of bob'] = bob.slice(bob.indexOf('=') + 1)
  await becomes(await site.watched('/payments', ann, pay), { state: 'executed' })
  await site.post('/payments', `session=${CANARY}`, pay)
  const json = { 'content-type': 'application/json' }
  const send = (url: string, headers: Record<string, string>, body: string) =>
    fetch(url, { method: 'POST', headers: { ...json, ...headers }, body })
  const { identity, api } = site
  await send(`${identity.address}/login`, {}, JSON.stringify({ email: `${CANARY}@example.com`, password: CANARY }))
  await send(`${identity.address}/login`, {}, `{"${CANARY}`)
  await send(`${identity.address}/v1/revocations`, { authorization: `Bearer ${CANARY}` }, '{}')
  await send(`${identity.address}/v1/sessions/resolve`, { authorization: `Bearer ${JWT}` }, '{}')
  await send(`${identity.address}/${CANARY}?token=${CANARY}`, {}, '{}')
  for (const authorization of [`Bearer ${JWT}`, `Basic ${CANARY}`])
    await send(`${api.address}/payments?access_token=${CANARY}`, { authorization }, JSON.stringify(pay))
  await send(`${api.address}/payments`, { cookie: ann, authorization: `Bearer ${JWT}` }, JSON.stringify(pay))
  await send(`${api.address}/payments`, { cookie: ann, 'x-request-id': `Bearer ${CANARY}` }, `{"${CANARY}"`)
  await site.fire('nightly', CANARY)
  await site.fire('nightly', SCHEDULE_SECRET, { work_ms: 0 })

  const at = new Date()
  const body = JSON.stringify({ type: 'invoice.paid', invoice_ids: ['acme-1001'], work_ms: 0 })
  const signature = new Webhook(WEBHOOK_SECRET).sign('msg_1', at, body)
  secrets['webhook signature'] = signature
  const delivery = { 'webhook-id': 'msg_1', 'webhook-timestamp': String(Math.floor(at.getTime() / 1000)) }
  await send(`${api.address}/webhooks/ledger`, { ...delivery, 'webhook-signature': signature }, body)
  await send(`${api.address}/webhooks/ledger`, { ...delivery, 'webhook-signature': `v1,${CANARY}` }, body)

  const reset = await site.operate('POST', '/v1/subjects/sub_bob/password-reset-codes', {})
  secrets['reset code'] = String(reset.code)
  const next = JSON.stringify({ code: reset.code, password: `${CANARY} next` })
  await send(`${identity.address}/password-reset`, {}, next)
  await site.logout(ann)
  await until('both signals to be applied', () => site.history('applied').length === 2)

  for (const pattern of PATTERNS) {
    const held = await pattern.begin(site, 'eve')
    await site.post('/reports', held.shown(), { period: '2026-11', work_ms: 0 })
    await held.renew()
    await held.end()
    for (const [i, secret] of held.secrets.entries())
      secrets[`secret ${i} of a ${pattern.name}`] = secret.slice(secret.indexOf('=') + 1)
  }
  secrets['client secret'] = CLIENT_SECRET
}

async function everyTopic(): Promise<string> {
  const log = await openSqliteLog({ path: site.logPath, catalogue: exampleCatalogue })
  const parts: Uint8Array[] = []
  for (const { name, partitions } of exampleCatalogue.entries) {
    for (let partition = 0; partition < partitions; partition++) {
      const { start, end } = await log.bounds(name, partition)
      for await (const records of log.read({ topic: name, partition, from: start, to: end })) {
        for (const { key, value, headers } of records)
          parts.push(
            key ?? Buffer.alloc(0),
            value ?? Buffer.alloc(0),
            ...headers.flatMap(([n, v]) => [Buffer.from(n), v]),
          )
      }
    }
  }
  await log.close()
  return Buffer.concat(parts).toString('latin1')
}
