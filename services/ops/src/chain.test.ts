import { type Journey, type JourneyEvent, JourneySink, journeyLog } from '@countersign/journey'
import { systemClock, systemRandom } from '@countersign/kernel'
import { createMetrics, silentLogger } from '@countersign/telemetry'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Chain, ChainNode } from './chain-tree.ts'
import { EmbeddedLog, type Outcome, run } from './testing.ts'

let embedded: EmbeddedLog
let journey: Journey
let sink: JourneySink
beforeEach(async () => {
  embedded = new EmbeddedLog()
  const log = await embedded.open()
  const parts = { clock: systemClock, random: systemRandom, logger: silentLogger, metrics: createMetrics() }
  sink = new JourneySink({ log, ...parts })
  journey = journeyLog(silentLogger, sink)
  sink.start()
})
afterEach(() => embedded.close())

const WHO = { sub: 'u_bob', tenant: 'acme', session: 'ses_1', family: 'fam_1', device: 'dev_1', latencyMs: 1 }
const issued = (token: string, more: Partial<JourneyEvent> = {}): JourneyEvent => ({
  ...WHO,
  actor: 'client:shop',
  client: 'shop',
  token,
  outcome: 'issued',
  audience: ['api'],
  scopes: ['a', 'b'],
  ...more,
})
const by = (client: string, token: string | null, parent: string, more: Partial<JourneyEvent> = {}): JourneyEvent => ({
  ...issued(token ?? ''),
  actor: `client:${client}`,
  client,
  token,
  parent,
  origin: 'tok_1',
  audience: [`after-${client}`],
  ...more,
})
const ended = (kind: 'token' | 'session' | 'client' | 'transaction' | 'subject', id: string): JourneyEvent => ({
  actor: 'operator:op',
  target: { kind, tenant: '', id },
  outcome: 'acknowledged',
  cause: `${kind}_end`,
  revocation: 'r-1',
  latencyMs: 1,
})
const tick = (): Promise<void> => systemClock.sleep(3 as never)

async function ask(handle: string, ...more: string[]): Promise<Outcome> {
  await sink.close()
  return run(['chain', handle, '--data', embedded.folder, ...more])
}

async function chains(handle: string, ...more: string[]): Promise<Chain[]> {
  const { code, out, talk } = await ask(handle, '-o', 'json', ...more)
  expect([code, talk]).toEqual([0, ''])
  return (JSON.parse(out) as { chains: Chain[] }).chains
}

/** Token, what ended it, refusals and what came of it, in short. */
function short({ token, by, ended, refused, came }: ChainNode): unknown[] {
  return [`${by} ${token}`, ended?.cause ?? null, refused.map(({ outcome }) => outcome), ...came.map(short)]
}

async function story(): Promise<void> {
  journey.issuance(issued('tok_0'))
  journey.issuance(issued('tok_1'))
  journey.exchange(by('gateway', 'tok_2', 'tok_1'))
  await tick()
  // tok_s: sealed by a boundary.
  journey.exchange(by('api', 'tok_3', 'tok_s', { txn: 'txn_1' }))
  journey.exchange(by('billing', 'tok_4', 'tok_3', { txn: 'txn_1', scopes: ['a'] }))
  journey.exchange(by('thief', null, 'tok_3', { txn: 'txn_1', outcome: 'not_for_this_client' }))
  journey.exchange(by('api', 'tok_5', 'tok_2'))
  journey.refresh({ ...issued('tok_6'), outcome: 'rotated' })
}

test('a chain is listed from whichever of its tokens, or its transaction', async () => {
  await story()
  const tree = [
    'issuance tok_1',
    null,
    [],
    ['exchange tok_2', null, [], ['exchange tok_5', null, []]],
    ['sealed tok_s', null, [], ['exchange tok_3', null, ['not_for_this_client'], ['exchange tok_4', null, []]]],
  ]
  for (const handle of ['tok_1', 'tok_4', 'tok_s', 'txn_1']) {
    const found = await chains(handle)
    expect(
      found.map(({ root }) => short(root)),
      handle,
    ).toEqual([tree])
    const { session, family, device, ...who } = WHO
    expect(found[0]).toMatchObject({
      sub: who.sub,
      tenant: who.tenant,
      session,
      family,
      device,
      transactions: ['txn_1'],
    })
    expect(found[0]?.root).toMatchObject({ actor: 'client:shop', audience: ['api'], scopes: ['a', 'b'] })
  }
})

test('what boundaries sealed hangs where it was sealed, and a token of who acted nowhere', async () => {
  journey.issuance(issued('tok_1'))
  journey.exchange(by('api', 'tok_3', 'tok_b', { lineage: ['tok_1', 'tok_a', 'tok_b'] }))
  // The third was asked for with a token of billing itself.
  journey.exchange(by('billing', 'tok_4', 'tok_c', { lineage: ['tok_1', 'tok_a', 'tok_b', 'tok_3', 'tok_c'] }))
  const acted = ['tok_1', 'tok_a', 'tok_b', 'tok_3', 'tok_c', 'tok_actor', 'tok_4', 'tok_d']
  journey.exchange(by('reporting', 'tok_5', 'tok_d', { lineage: acted }))
  const tree = [
    'issuance tok_1',
    'sealed tok_a',
    'sealed tok_b',
    'exchange tok_3',
    'sealed tok_c',
    'exchange tok_4',
    'sealed tok_d',
    'exchange tok_5',
  ]
  const [found] = await chains('tok_a')
  const line: string[] = []
  for (let at = found?.root; at; at = at.came[0]) {
    line.push(`${at.by} ${at.token}`)
    expect(at.came.length).toBeLessThan(2)
  }
  expect(line).toEqual(tree)
})

test('what a gateway refused stands with the token that was shown', async () => {
  await story()
  const refusal = { ...WHO, actor: 'u_bob', route: 'invoices', outcome: 'scope_missing' }
  journey.enforcement({ ...refusal, token: 'tok_1' })
  journey.enforcement({ ...refusal, token: 'tok_4', origin: 'tok_1', outcome: 'credential_revoked' })
  journey.enforcement({ ...refusal, token: 'tok_z', origin: 'tok_1', outcome: 'view_not_fresh' })
  const [found] = await chains('tok_1')
  const refused: string[] = []
  const walk = (node: ChainNode): void => {
    for (const { action, route, outcome } of node.refused) refused.push(`${node.token} ${action} ${route} ${outcome}`)
    for (const one of node.came) walk(one)
  }
  if (found) walk(found.root)
  expect(refused).toEqual([
    'tok_1 enforcement invoices scope_missing',
    'tok_3 exchange null not_for_this_client',
    'tok_4 enforcement invoices credential_revoked',
    'tok_z enforcement invoices view_not_fresh',
  ])
})

test('a session and a family list all of theirs, oldest first', async () => {
  await story()
  for (const handle of ['ses_1', 'fam_1'])
    expect((await chains(handle)).map(({ root }) => `${root.by} ${root.token}`)).toEqual([
      'issuance tok_0',
      'issuance tok_1',
      'refresh tok_6',
    ])
})

test.each<[string, JourneyEvent, string[]]>([
  ['its first token', ended('token', 'tok_1'), ['tok_1', 'tok_2', 'tok_5', 'tok_s', 'tok_3', 'tok_4']],
  ['its session', ended('session', 'ses_1'), ['tok_1', 'tok_2', 'tok_5', 'tok_s', 'tok_3', 'tok_4']],
  ['its person', ended('subject', 'u_bob'), ['tok_1', 'tok_2', 'tok_5', 'tok_s', 'tok_3', 'tok_4']],
  ['its transaction', ended('transaction', 'txn_1'), ['tok_s', 'tok_3', 'tok_4']],
  ['a sealed token', ended('token', 'tok_s'), ['tok_s', 'tok_3', 'tok_4']],
  ['a service on its way', ended('client', 'billing'), ['tok_4']],
  ['a service that was there twice', ended('client', 'api'), ['tok_5', 'tok_3', 'tok_4']],
  ['another session', ended('session', 'ses_2'), []],
  ['a scope alone', { ...ended('subject', 'u_bob'), effect: 'scope:a' }, []],
  ['nothing, when that was refused', { ...ended('token', 'tok_1'), outcome: 'store_unavailable' }, []],
])('what ended %s ended what came of it', async (_, event, expected) => {
  // An end before it began is none of it.
  journey.revocation(ended('subject', 'u_bob'))
  await tick()
  await story()
  await tick()
  journey.revocation(event)
  await tick()
  journey.logout(ended('session', 'ses_9'))
  const names: string[] = []
  const walk = ({ token, ended, came }: ChainNode): void => {
    if (ended) names.push(token)
    for (const one of came) walk(one)
  }
  for (const { root } of await chains('tok_1')) walk(root)
  expect(names).toEqual(expected)
})

test('the first that ended it is told', async () => {
  await story()
  await tick()
  journey.logout({ ...ended('session', 'ses_1'), cause: 'logout' })
  await tick()
  journey.revocation(ended('token', 'tok_1'))
  const [found] = await chains('tok_1')
  expect(found?.root.ended).toMatchObject({ cause: 'logout', actor: 'operator:op', outcome: 'acknowledged' })
})

test('people read a tree', async () => {
  await story()
  await tick()
  journey.revocation(ended('client', 'billing'))
  const { code, out, talk } = await ask('tok_4')
  expect(code).toBe(0)
  expect(talk).toBe('u_bob in acme: ses_1, fam_1, txn_1')
  const lines = out.split('\n').map((line) =>
    line
      .trim()
      .replaceAll(/\d{4}-\S+Z/g, 'T')
      .replaceAll(/ {2,}/g, ' | '),
  )
  expect(lines).toEqual([
    'Token | When | How | By | For | Scopes | Ended',
    'tok_1 | T | issuance | client:shop | api | a b',
    '└ tok_2 | T | exchange | client:gateway | after-gateway | a b',
    '└ tok_5 | T | exchange | client:api | after-api | a b',
    '└ tok_s | sealed',
    '└ tok_3 | T | exchange | client:api | after-api | a b',
    '└ refused | T | exchange | client:thief | not_for_this_client',
    '└ tok_4 | T | exchange | client:billing | after-billing | a | T client_end (acknowledged)',
  ])
})

test('says what is wrong, and when there is nothing', async () => {
  await story()
  expect(await ask('tok_9')).toMatchObject({ code: 1, out: '', talk: expect.stringContaining('no token with tok_9') })
  expect(await ask('tok_1', '--from', 'end')).toMatchObject({ code: 1 })
  expect(await ask('tok_1', '--from', '-1h')).toMatchObject({ code: 0 })
  expect(await ask('u_bob')).toMatchObject({ code: 2, talk: expect.stringContaining('tok_, ses_, fam_ or txn_') })
  expect(await run(['chain', '--data', embedded.folder])).toMatchObject({ code: 2 })
  expect(await run(['chain', 'tok_1', '--data', `${embedded.folder}/none`])).toMatchObject({ code: 1 })
})
