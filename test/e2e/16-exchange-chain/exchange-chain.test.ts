/** From gateway to api to billing to reporting: each hop narrows, what is stolen is worth nothing elsewhere, ending the origin ends all. */
import { systemClock } from '@countersign/kernel'
import { EXIT, runProgram } from '@countersign/ops'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { begin, login, type Tokens } from '../../identity/people.ts'
import { RedisServer, STORES } from '../../redis-server.ts'
import { CLIENT_SECRET, OPERATOR_SECRET, TOKEN_EXCHANGE } from '../seed.ts'
import { until } from '../site.ts'
import { ChainSite, DOMAIN, HOPS, type HopName, type Seen, type Sent } from './chain-site.ts'

const ALL = ['invoices:export', 'payments:run', 'reports:build']

/** What somebody shows at the gateway. */
interface Shown {
  readonly headers: Record<string, string>
  readonly session: string
  readonly tokens: Tokens | null
}

/** One run through the chain. */
interface Run {
  readonly shown: Shown
  readonly seen: Seen
  /** Newest of each hop: what it showed to the next, and what it had exchanged for that. */
  readonly sent: readonly (Sent & { readonly from: HopName })[]
}

interface Node {
  readonly token: string
  readonly by: string
  readonly actor: string | null
  readonly audience: readonly string[]
  readonly scopes: readonly string[]
  readonly ended: { readonly cause: string; readonly target: { readonly kind: string } } | null
  readonly refused: readonly { readonly actor: string; readonly outcome: string }[]
  readonly came: readonly Node[]
}

for (const { store, skipped } of STORES) {
  describe.skipIf(skipped)(`a chain of services, with the store of identity on ${store}`, () => {
    let redis: RedisServer | null = null
    let site: ChainSite
    beforeAll(async () => {
      redis = store === 'Redis' ? await RedisServer.start() : null
      site = await ChainSite.start(redis?.url ?? null)
    }, 60_000)
    afterAll(async () => {
      await site?.close()
      await redis?.stop()
    })

    async function cookie(): Promise<Shown> {
      const session = await login(site.identity.address ?? '', 'bob@example.com')
      return { headers: { cookie: session }, session, tokens: null }
    }
    async function bearer(): Promise<Shown> {
      const { session } = await cookie()
      const shop = { id: 'shop', secret: CLIENT_SECRET }
      const tokens = await begin(site.identity.address ?? '', session, shop, [...ALL].join(' '))
      return { headers: { authorization: `Bearer ${tokens.access_token}` }, session, tokens }
    }
    const ask = (at: HopName, headers: Record<string, string>, path = '/seen'): Promise<Response> =>
      fetch(`${site.hop(at).address}${path}`, { headers })
    async function through(shown: Shown): Promise<Run> {
      for (const hop of site.hops.values()) hop.sent.length = 0
      const response = await ask('gateway', shown.headers, '/work')
      expect(response.status).toBe(200)
      const sent = HOPS.flatMap((from) => site.hop(from).sent.map((one) => ({ ...one, from })))
      return { shown, seen: (await response.json()) as Seen, sent }
    }
    /** Shows a token where it is for: a service, or identity, which would exchange it. */
    async function accepted({ from, to, text }: Run['sent'][number]): Promise<boolean> {
      if (to !== 'identity') return (await ask(to, headersFor(to, text))).status === 200
      const { status } = await site.exchange(from, text, NEXT_OF[from] ?? '', ['reports:build'])
      expect([200, 400]).toContain(status)
      return status === 200
    }
    const ops = async (...argv: string[]): Promise<{ code: number; out: string }> => {
      const out: string[] = []
      const code = await runProgram({
        argv,
        env: { COUNTERSIGN_OPERATOR_SECRET: OPERATOR_SECRET, COUNTERSIGN_LOG_PATH: site.logPath },
        terminal: { out: (line) => void out.push(line), say: (line) => void out.push(line) },
        clock: systemClock,
        signal: new AbortController().signal,
      })
      return { code, out: out.join('\n') }
    }
    const revoke = (target: string): Promise<{ code: number }> =>
      ops('revoke', target, '--identity', site.identity.address ?? '', '--execute')

    test('narrows at each hop: the same person, the same transaction, each hop the next actor', async () => {
      for (const shown of [await cookie(), await bearer()]) {
        const { seen } = await through(shown)
        const hops = [seen, seen.next, seen.next?.next, seen.next?.next?.next]
        expect(hops.map((hop) => hop?.service)).toEqual(HOPS)
        expect(hops.map((hop) => hop?.scopes)).toEqual([
          expect.arrayContaining(ALL),
          ALL,
          ['payments:run', 'reports:build'],
          ['reports:build'],
        ])
        expect(hops.map((hop) => hop?.actors)).toEqual([[], [], ['svc_api'], ['svc_billing', 'svc_api']])
        expect(new Set(hops.map((hop) => `${hop?.sub} ${hop?.txn}`))).toEqual(new Set([`sub_bob ${seen.txn}`]))
      }
      const times = ['api', 'billing'].flatMap((name) => site.hop(name as HopName).exchanges)
      console.log(`${store}: ${times.length} exchanges took ${times.map((ms) => ms.toFixed(1)).join(', ')} ms`)
    }, 60_000)

    test('stolen at any hop, a token is refused at every other audience, and exchanged for nobody else', async () => {
      const { sent } = await through(await bearer())
      expect(sent.map(({ from, to }) => `${from} → ${to}`)).toEqual([
        'gateway → api',
        'api → identity',
        'api → billing',
        'billing → identity',
        'billing → reporting',
      ])
      for (const one of sent) {
        const { to, text } = one
        expect(await accepted(one), `${one.from} → ${to}`).toBe(true)
        const isTxn = claimsOf(text).aud === DOMAIN
        for (const hop of HOPS) {
          // What is sealed is for the trust domain, of which api alone takes it from others.
          const may = isTxn ? 'api' : to
          for (const headers of [
            { authorization: `Bearer ${text}` },
            { 'txn-token': text },
            { cookie: `session=${text}` },
          ]) {
            const right = hop === may && 'txn-token' in headers === isTxn && !('cookie' in headers)
            const { status } = await ask(hop, headers as Record<string, string>)
            expect(status, `${Object.keys(headers)} ${one.from} → ${to} at ${hop}`).toBe(right ? 200 : 401)
          }
        }
      }
      const thieves = HOPS.filter((name) => name !== 'billing')
      const [, , forBilling] = sent
      for (const thief of thieves) {
        const shown = {
          subject_token: forBilling?.text ?? '',
          subject_token_type: 'urn:ietf:params:oauth:token-type:access_token',
        }
        const grant_type = TOKEN_EXCHANGE
        const answer = await site.ask('/token', thief, { grant_type, ...shown })
        expect([answer.status, ((await answer.json()) as { error: string }).error]).toEqual([400, 'invalid_request'])
      }
    }, 60_000)

    test('one query lists the chain: for whom, with which scopes, by whom, who was refused', async () => {
      const run = await through(await bearer())
      const [forApi, , forBilling, , forReporting] = run.sent.map(({ text }) => claimsOf(text))
      const origin = claimsOf(run.shown.tokens?.access_token ?? '').jti
      const shown = {
        subject_token: run.sent[4]?.text ?? '',
        subject_token_type: 'urn:ietf:params:oauth:token-type:access_token',
      }
      await site.ask('/token', 'gateway', { grant_type: TOKEN_EXCHANGE, ...shown })
      const list = async (handle: string): Promise<{ root: Node; transactions: string[]; sub: string }[]> => {
        const { code, out } = await ops('chain', handle, '-o', 'json')
        return code === EXIT.ok ? JSON.parse(out).chains : []
      }
      await until('all of it told', async () => JSON.stringify(await list(origin)).includes('not_for_this_client'))
      const [first] = await list(origin)
      expect(first).toMatchObject({ sub: 'sub_bob', transactions: [run.seen.txn] })
      const found: string[] = []
      const walk = (node: Node, depth: number): void => {
        found.push(`${depth} ${node.by} ${node.actor} ${node.audience} ${node.scopes}`)
        for (const { actor, outcome } of node.refused) found.push(`${depth} refused ${actor} ${outcome}`)
        for (const next of node.came) walk(next, depth + 1)
      }
      if (first) walk(first.root, 0)
      expect(found.filter((line) => !line.includes('sealed'))).toEqual([
        `0 issuance client:shop gateway ${ALL}`,
        '3 exchange client:api billing payments:run,reports:build',
        '5 exchange client:billing reporting reports:build',
        '5 refused client:gateway not_for_this_client',
      ])
      // From any part of it.
      for (const handle of [run.seen.txn, forBilling?.jti, forReporting?.jti]) {
        expect(await list(handle ?? ''), handle).toEqual([first])
      }
      expect(forApi?.txn).toBe(run.seen.txn)
      expect((await ops('chain', run.seen.txn)).out).toMatch(
        /exchange +client:api +billing +payments:run reports:build/,
      )
      expect((await ops('chain', 'txn_unknown')).code).toBe(EXIT.failed)
    }, 60_000)

    const endings: readonly [string, () => Promise<Shown>, (run: Run) => Promise<unknown>, string][] = [
      ['the logout of a browser', cookie, ({ shown }) => logout(site, shown.session), 'session'],
      [
        'its session, revoked by an operator',
        cookie,
        ({ sent }) => revoke(`session:${claimsOf(sent[0]?.text ?? '').sid}`),
        'session',
      ],
      [
        'its transaction, revoked by an operator',
        cookie,
        ({ seen }) => revoke(`transaction:${seen.txn}`),
        'transaction',
      ],
      [
        'the token a gateway sealed',
        cookie,
        ({ sent }) => revoke(`token:${claimsOf(sent[0]?.text ?? '').jti}`),
        'token',
      ],
      ['a refresh family given back', bearer, ({ shown }) => giveBack(site, shown.tokens?.refresh_token), 'family'],
      ['an access token given back', bearer, ({ shown }) => giveBack(site, shown.tokens?.access_token), 'token'],
      ['the logout behind an access token', bearer, ({ shown }) => logout(site, shown.session), 'session'],
      ['its person', bearer, () => revoke('subject:sub_bob'), 'subject'],
    ]
    test.each(endings)(
      '%s ends all of it',
      async (name, show, end, kind) => {
        const run = await through(await show())
        for (const one of run.sent) expect(await accepted(one), `${one.from} → ${one.to}`).toBe(true)
        const asked = performance.now()
        await end(run)
        const ended = performance.now()
        const refused = await Promise.all(run.sent.map((one) => untilRefused(() => accepted(one))))
        const took = run.sent.map(({ from, to }, i) => `${from} → ${to} ${((refused[i] ?? 0) - ended).toFixed(0)}`)
        console.log(
          `${store}, ${name}: acknowledged in ${(ended - asked).toFixed(1)} ms, refused after ms: ${took.join(', ')}`,
        )
        // And the query says so, of every token of it.
        const [, , forBilling] = run.sent
        const handle = claimsOf(forBilling?.text ?? '').jti
        await until('the end told', async () =>
          (await ops('chain', handle, '-o', 'json')).out.includes('"outcome":"ack'),
        )
        const { chains } = JSON.parse((await ops('chain', handle, '-o', 'json')).out) as { chains: { root: Node }[] }
        const by = new Set<string | null>()
        const walk = ({ ended, came }: Node): void => {
          by.add(ended?.target.kind ?? null)
          for (const next of came) walk(next)
        }
        for (const { root } of chains) walk(root)
        expect([...by]).toEqual([kind])
      },
      60_000,
    )
  })
}

const NEXT_OF: Readonly<Partial<Record<HopName, HopName>>> = { api: 'billing', billing: 'reporting' }

/** @returns when, by `performance.now()`. */
async function untilRefused(accepted: () => Promise<boolean>): Promise<number> {
  for (const began = performance.now(); performance.now() - began < 10_000; )
    if (!(await accepted())) return performance.now()
  throw new Error('still let in after 10 s')
}

function headersFor(to: HopName, text: string): Record<string, string> {
  return to === 'api' ? { 'txn-token': text } : { authorization: `Bearer ${text}` }
}

async function logout(site: ChainSite, cookie: string): Promise<void> {
  const headers = { cookie, 'content-type': 'application/json' }
  expect((await fetch(`${site.identity.address}/logout`, { method: 'POST', headers, body: '{}' })).ok).toBe(true)
}

async function giveBack(site: ChainSite, token = ''): Promise<void> {
  expect((await site.ask('/revoke', 'shop', { token })).status).toBe(200)
}

function claimsOf(token: string): Record<string, string> & { jti: string } {
  return JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString())
}
