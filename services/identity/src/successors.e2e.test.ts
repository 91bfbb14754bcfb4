/** Successors over HTTP: what identity goes on vouching for, and everything it does not. */
import { join } from 'node:path'
import { bindEvent, derive, envelopeHash, KeyRing, type OpenedEnvelope, Opener, seal } from '@countersign/envelope'
import { openSqliteLog } from '@countersign/event-log/sqlite'
import { systemRandom } from '@countersign/kernel'
import { readRecord, SIGNALS_TOPIC } from '@countersign/replica'
import { type Target, targetKey } from '@countersign/revocation'
import { type EnvelopeClaims, exampleCatalogue, type LogPosition, trustBundleCodec } from '@countersign/schemas'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type KeyOrder, readSigningKey } from './key-files.ts'
import { type Client, OPERATOR_SECRET, type Reply, SERVICE_SECRET, until, World } from './testing.ts'

const HOUR = 3_600_000
const order = (name: string, more: Partial<KeyOrder> = {}): KeyOrder => ({
  name,
  use: 'envelope',
  tenants: ['*'],
  topics: ['*'],
  ...more,
})

let world: World
let identity: Client
let ring: KeyRing

beforeAll(async () => {
  world = new World([
    order('api'),
    order('successor'),
    order('beta', { tenants: ['beta'] }),
    order('worker', { use: 'derive' }),
  ])
  identity = await world.start({
    COUNTERSIGN_SUCCESSOR_KEY: 'successor',
    COUNTERSIGN_SUCCESSOR_LIMIT: '3',
    COUNTERSIGN_WORK_LIFE: '6h',
    COUNTERSIGN_SESSION_IDLE: '12h',
    COUNTERSIGN_MAX_STALENESS: '4s',
  })
  ring = await bundleInForce()
  // Something on the log, so that answers name a position.
  const { sub } = await identity.person()
  await identity.operate('POST', `/v1/subjects/${sub}/suspend`)
})
afterAll(() => world.destroy())

async function bundleInForce(): Promise<KeyRing> {
  const log = await openSqliteLog({ path: world.logPath, catalogue: exampleCatalogue })
  const { start, end } = await log.bounds(SIGNALS_TOPIC)
  let body: Buffer | null = null
  for await (const records of log.read({ topic: SIGNALS_TOPIC, from: start, to: end })) {
    for (const record of records) {
      const read = readRecord(record, log.schemas)
      if (read?.kind === 'TrustBundle') body = Buffer.from(read.body)
    }
  }
  await log.close()
  if (body === null) throw new Error('no bundle')
  return new KeyRing(trustBundleCodec.decode(body))
}

interface Person {
  readonly sub: string
  readonly browser: Client
  /** What a boundary seals for them now. */
  claims(over?: Partial<EnvelopeClaims>, tctx?: Partial<EnvelopeClaims['tctx']>): Promise<EnvelopeClaims>
}

async function person(): Promise<Person> {
  const { name, sub } = await identity.person()
  const browser = identity.browser()
  await browser.login(name)
  return {
    sub,
    browser,
    async claims(over = {}, tctx = {}) {
      const { json } = await browser.resolve()
      const now = world.clock.now()
      const txn = systemRandom.bytes(12).toString('hex')
      const named = [...json.targets, { kind: 'transaction', tenant: '', id: txn, version: now }]
      const targets = named.map(({ version, ...target }: Target & { version: number }) => ({
        kind: target.kind,
        key: targetKey(target),
        version,
      }))
      const context = { principal: json.principal, act: [], credential: 'session_cookie', client: null }
      return {
        txn,
        sub: json.sub,
        aud: 'billing-export',
        scope: ['invoices:export', 'invoices:read'],
        req_wl: 'api',
        iat: now,
        exp: now + HOUR,
        tctx: {
          ...context,
          tenant: json.tenant,
          session: json.session,
          device: json.device ?? null,
          targets,
          scope_version: json.scopeVersion,
          position: json.position as LogPosition,
          ...tctx,
        } as EnvelopeClaims['tctx'],
        rctx: {
          request_id: null,
          auth_time: json.authTime,
          acr: null,
          amr: [],
          ip: null,
          user_agent: null,
          posture: null,
          risk: null,
        },
        event: bindEvent({ topic: 'invoices.export', key: null, id: systemRandom.bytes(16), value: null }),
        depth: 0,
        parent: null,
        relies_on: [Buffer.alloc(32, 5)],
        succession: null,
        ...over,
      }
    },
  }
}

function sealed(claims: EnvelopeClaims, key = 'api'): Buffer {
  return seal([claims], readSigningKey(join(world.folder, 'keys'), key))[0] as Buffer
}

const ask = (envelope: Uint8Array, secret: string = SERVICE_SECRET, at: Client = identity): Promise<Reply> =>
  at
    .browser()
    .post(
      '/v1/envelopes/successor',
      { envelope: Buffer.from(envelope).toString('base64url') },
      { authorization: `Bearer ${secret}` },
    )
const refused = ({ status, json }: Reply): unknown[] => [status, json.code, json.reason]
const NO = (reason: string): unknown[] => [403, 'successor_refused', reason]
const bytesOf = ({ json }: Reply): Buffer => Buffer.from(json.envelope, 'base64url')

function proven(envelope: Uint8Array): OpenedEnvelope {
  const result = new Opener().prove(envelope, { ring, now: world.clock.now(), epsilonMs: 250 })
  if (!result.ok) throw new Error(result.code)
  return result.envelope
}

/** Signals reach identity's own view a moment after they are acknowledged; the store knows at once. */
async function refusedSoon(envelope: Uint8Array): Promise<unknown[]> {
  await until(async () => (await ask(envelope)).status !== 200)
  return refused(await ask(envelope))
}

describe('work goes on', () => {
  it('under a new envelope for the same transaction, event, audience and reliances', async () => {
    const { claims } = await person()
    const first = await claims()
    const header = sealed(first)
    const { status, json } = await ask(header)
    expect([status, json.count]).toEqual([200, 1])
    const { claims: next, keyId } = proven(Buffer.from(json.envelope, 'base64url'))
    expect(keyId).toBe('successor')
    const { iat, exp, tctx, succession, req_wl: _, ...rest } = next
    expect(first).toMatchObject(rest)
    expect(succession).toEqual({ count: 1, begun_at: first.iat, of: envelopeHash(header) })
    expect(tctx).toEqual({ ...first.tctx, position: expect.anything() })
    expect(tctx.position.offset).toBeGreaterThanOrEqual(first.tctx.position.offset)
    expect(exp - iat).toBe(HOUR)
    expect(iat).toBeGreaterThanOrEqual(first.iat)
  })

  it('after its envelope has expired, at the depth it had, so that it derives no further than it could', async () => {
    const { claims } = await person()
    const parent = await claims({ exp: world.clock.now() + 300 })
    const header = sealed(parent)
    const { scope, iat, exp, aud } = parent
    const said = { aud, scope, iat, exp, reqWl: 'worker', actor: { sub: 'worker', principal: 'service' } } as const
    const child = derive({ header, envelope: proven(header) }, { ...said, event: parent.event })
    const derived = sealed(child, 'worker')
    await new Promise((resolve) => setTimeout(resolve, 400))
    const { claims: next } = proven(bytesOf(await ask(derived)))
    expect([next.depth, next.parent, next.tctx.act, next.succession?.begun_at]).toEqual([1, null, child.tctx.act, iat])
  })

  it('with the scopes that are left', async () => {
    const { sub, claims } = await person()
    const header = sealed(await claims({ scope: ['invoices:export', 'invoices:read', 'made:up'] }))
    expect(proven(bytesOf(await ask(header))).scopes).toEqual(['invoices:export', 'invoices:read'])
    await identity.operate('PUT', `/v1/affiliations/acme/${sub}/roles`, { roles: ['viewer'] })
    await until(async () => proven(bytesOf(await ask(header))).scopes.length < 2)
    expect(proven(bytesOf(await ask(header))).scopes).not.toContain('invoices:export')
  })

  it('so often and no more, however often one is asked for', async () => {
    const { claims } = await person()
    let header = sealed(await claims())
    for (let count = 1; count <= 3; count++) {
      const [one, again] = [await ask(header), await ask(header)]
      // Asked again, nothing is gained: the same count, and the same begin.
      expect([one.json.count, again.json.count]).toEqual([count, count])
      expect(proven(bytesOf(one)).claims.succession?.begun_at).toBe(proven(bytesOf(again)).claims.succession?.begun_at)
      header = bytesOf(one)
    }
    expect(refused(await ask(header))).toEqual(NO('successors_used_up'))
  })
})

describe('it does not go on', () => {
  it('once its person logged out, was suspended, or the transaction was ended', async () => {
    for (const end of [
      ({ browser }: Person) => browser.post('/logout'),
      ({ sub }: Person) => identity.operate('POST', `/v1/subjects/${sub}/suspend`),
      (_: Person, { txn }: EnvelopeClaims) =>
        identity.operate('POST', '/v1/revocations', { target: { kind: 'transaction', id: txn }, reason: 'compromise' }),
    ]) {
      const one = await person()
      const claims = await one.claims()
      const header = sealed(claims)
      expect((await ask(header)).status).toBe(200)
      expect((await end(one, claims)).status).toBeLessThan(400)
      expect(await refusedSoon(header)).toEqual(NO('authority_ended'))
    }
  })

  it('of another tenant, by whatever it is sealed', async () => {
    const { sub, claims } = await person()
    const own = await claims()
    const target = (kind: Target['kind'], tenant: string, id: string) => ({
      kind,
      key: targetKey({ kind, tenant, id }),
      version: world.clock.now(),
    })
    const others = [target('tenant', 'beta', ''), target('affiliation', 'beta', sub)]
    const beta = { ...own, tctx: { ...own.tctx, tenant: 'beta', targets: [...own.tctx.targets, ...others] } }
    expect(refused(await ask(sealed(beta)))).toEqual(NO('authority_ended'))
    expect(refused(await ask(sealed(own, 'beta')))).toEqual(NO('envelope_key_tenant'))
  })

  it('with the session of somebody else', async () => {
    const [mallory, victim] = [await person(), await person()]
    const { tctx } = await victim.claims()
    const session = { kind: 'session' as const, tenant: '', id: tctx.session ?? '' }
    const stolen = tctx.targets.find(({ key }) => targetKey(session).equals(key))
    const own = await mallory.claims()
    const targets = [...own.tctx.targets, ...(stolen ? [stolen] : [])]
    const mixed = { ...own, tctx: { ...own.tctx, session: session.id, targets } }
    expect(refused(await ask(sealed(mixed)))).toEqual(NO('authority_unknown'))
  })

  it('without a target for each it names', async () => {
    const { claims } = await person()
    const own = await claims()
    for (const { kind } of own.tctx.targets) {
      const targets = own.tctx.targets.filter((target) => target.kind !== kind)
      expect(refused(await ask(sealed({ ...own, tctx: { ...own.tctx, targets } })))).toEqual(NO('authority_unknown'))
    }
  })

  it('for what identity never vouched for', async () => {
    const { claims } = await person()
    const own = await claims({}, { principal: 'webhook', credential: 'webhook_signature', session: null })
    expect(refused(await ask(sealed(own)))).toEqual(NO('authority_unknown'))
  })

  it('for bytes nobody sealed, or a key that may not', async () => {
    const { claims } = await person()
    const own = await claims()
    const header = sealed(own)
    const flipped = Buffer.from(header)
    flipped[60] = (flipped[60] as number) ^ 1
    expect(refused(await ask(flipped))).toEqual(NO('envelope_signature_invalid'))
    expect(refused(await ask(sealed(own, 'worker')))).toEqual(NO('envelope_key_use'))
    expect(refused(await ask(sealed(own, 'signal')))).toEqual(NO('envelope_key_use'))
    expect(refused(await ask(Buffer.from('nonsense')))).toEqual(NO('envelope_truncated'))
  })

  it('for an envelope so long that its successor would be too long', async () => {
    const { claims } = await person()
    const own = await claims()
    const long = (length: number): Buffer => sealed({ ...own, rctx: { ...own.rctx, request_id: 'r'.repeat(length) } })
    const header = long(1_000 + 16_384 - 1 - long(1_000).length)
    expect(header.length).toBeGreaterThan(16_380)
    expect(refused(await ask(header))).toEqual(NO('envelope_oversize'))
  })

  it('for anybody but a service', async () => {
    const header = sealed(await (await person()).claims())
    expect((await ask(header, OPERATOR_SECRET)).status).toBe(403)
    expect((await ask(header, 'wrong')).status).toBe(401)
    expect((await identity.browser().post('/v1/envelopes/successor', { envelope: 'AAAA' })).status).toBe(401)
    const headers = { authorization: `Bearer ${SERVICE_SECRET}` }
    for (const envelope of ['', 'a+b/', 'A'.repeat(22_000), 7]) {
      expect((await identity.browser().post('/v1/envelopes/successor', { envelope }, headers)).status).toBe(422)
    }
  })

  // Last: it moves the clock on.
  it('for longer than work may last, nor beyond its session', async () => {
    const { claims } = await person()
    const old = await claims()
    const header = sealed(old)
    const after = async (hours: number): Promise<Reply> => {
      world.clock.offset += hours * HOUR
      await until(async () => (await ask(header)).status !== 503)
      return ask(header)
    }
    expect(proven(bytesOf(await after(5.5))).claims.exp).toBe(old.iat + 6 * HOUR)
    expect(refused(await after(0.5))).toEqual(NO('work_too_old'))
    expect(refused(await after(20))).toEqual(NO('envelope_expired'))
  })
})

describe('an identity without a key for it', () => {
  it('makes none, and says that it cannot', async () => {
    const bare = new World([order('api')])
    const client = await bare.start()
    const reply = await ask(Buffer.from('nonsense'), SERVICE_SECRET, client)
    expect([reply.status, reply.json.code]).toEqual([503, 'successor_unsure'])
    await bare.destroy()
  })
})
