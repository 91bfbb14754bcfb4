/** The same calls, in the same order, get the same answers from SQLite and from Redis. */
import { randomUUID } from 'node:crypto'
import { type Signal, signalCodec } from '@countersign/schemas'
import type { Change, Factor, FactorUse, Raise, SessionStore } from '@countersign/session-store'
import { openRedisStore } from '@countersign/session-store/redis'
import { openSqliteStore } from '@countersign/session-store/sqlite'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { kafka } from '../brokers.ts'
import { hasRedis, RedisServer } from '../redis-server.ts'

const found = kafka()?.redisUrl ?? null
const RUNS = Number(process.env.STORE_DIFFERENTIAL_RUNS ?? 60)
const START = 1_800_000_000_000

const bytes = (length: number, n: number): Buffer => {
  const out = Buffer.alloc(length)
  out.writeUInt32BE(n, 0)
  return out
}
const seal = (signal: Signal) => ({ body: signalCodec.encode(signal), signature: Buffer.alloc(70, 7) })

/** Small numbers that choose; every call is made of them, so that things meet. */
interface Draw {
  readonly op: number
  readonly a: number
  readonly b: number
  readonly c: number
  readonly wait: number
}

const SUBS = ['s0', 's1', 'sé:%\n']
const TENANTS = ['acme', 'be:ta']
const KINDS = ['browser', 'family', 'admin', 'device', 'api'] as const
const pick = <T>(list: readonly T[], n: number): T => list[n % list.length] as T

type Call = (store: SessionStore, draw: Draw, now: number, step: number) => Promise<unknown>

const client = (c: number) => ({
  ...({
    id: `c${c % 2}`,
    name: `é${c}`,
    authMethod: 'none',
    secretHash: c % 3 ? bytes(32, c) : null,
    jwks: null,
  } as const),
  ...({ redirectUris: [], grants: ['refresh_token'], scopes: ['a'], audiences: ['x'], tokenFormat: 'opaque' } as const),
  ...({ sessionKind: 'family', service: null, introspects: [] } as const),
})

const targetOf = (a: number, b: number): Raise['target'] =>
  pick(
    [
      { kind: 'subject', tenant: '', id: pick(SUBS, a) },
      { kind: 'affiliation', tenant: pick(TENANTS, b), id: pick(SUBS, a) },
      { kind: 'tenant', tenant: pick(TENANTS, b), id: '' },
      { kind: 'family', tenant: '', id: `h${a}` },
      { kind: 'session', tenant: '', id: `h${a}` },
      { kind: 'token', tenant: '', id: `t${a}` },
      { kind: 'client', tenant: '', id: `c${b % 2}` },
    ],
    a * 3 + b,
  )

const changeOf = ({ a, b, c }: Draw): Change =>
  pick<Change>(
    [
      { kind: 'none' },
      { kind: 'session_ended', handle: `h${a}` },
      { kind: 'sessions_ended', handles: [`h${a}`, `h${b}`] },
      { kind: 'account_suspended', sub: pick(SUBS, a) },
      { kind: 'account_deleted', sub: pick(SUBS, a) },
      { kind: 'affiliation_suspended', tenant: pick(TENANTS, b), sub: pick(SUBS, a) },
      { kind: 'affiliation_removed', tenant: pick(TENANTS, b), sub: pick(SUBS, a) },
      { kind: 'roles_set', tenant: pick(TENANTS, b), sub: pick(SUBS, a), roles: [`r${c}`], revision: 1 + (c % 3) },
      { kind: 'device_lost', sub: pick(SUBS, a), device: `d${b}` },
      { kind: 'client_disabled', client: `c${a % 2}` },
      { kind: 'factors_removed', sub: pick(SUBS, b), factors: [`f${a % 3}`] },
    ],
    c,
  )

const factorOf = ({ a, b, c }: Draw, now: number): Factor => ({
  ...{ handle: `f${a % 3}`, sub: pick(SUBS, b), name: `é${c}`, createdAt: now, lastUsedAt: null },
  ...(c % 3 === 0
    ? { kind: 'totp', totp: { sealedSecret: bytes(48, c), usedStep: 1 }, codes: null, webauthn: null }
    : c % 3 === 1
      ? { kind: 'recovery', totp: null, codes: ['x', 'y'], webauthn: null }
      : { kind: 'webauthn', totp: null, codes: null, webauthn: webauthnOf(c) }),
})
const webauthnOf = (c: number): NonNullable<Factor['webauthn']> => ({
  ...{ id: `id${c}`, publicKey: bytes(77, c), counter: 1, transports: ['usb'], verifiesUser: true },
  backupEligible: false,
})
const useOf = (stepUp: string, c: number): FactorUse =>
  pick<FactorUse>(
    [
      { kind: 'totp', stepUp, step: c, resealed: c % 2 ? bytes(48, c) : null },
      { kind: 'recovery', stepUp, code: c % 2 ? 'x' : 'y' },
      { kind: 'webauthn', stepUp, challenge: bytes(32, 1), counter: c },
    ],
    c,
  )

const CALLS: readonly Call[] = [
  (store, { a, b, c }, now) =>
    store.createAccount({
      ...{ sub: pick(SUBS, a), principal: c % 4 ? 'user' : 'service', email: `e${b % 6}`, password: null },
      ...{ affiliations: TENANTS.slice(c % 2).map((tenant) => ({ tenant, roles: ['y', 'x'] })), atLeast: [], now },
    }),
  (store, { a, b, c }, now) =>
    store.createAffiliation({ tenant: pick(TENANTS, b), sub: pick(SUBS, a), roles: [`r${c}`], atLeast: [], now }),
  (store, { a }) => store.restoreAccount(pick(SUBS, a)),
  (store, { a, b }) => store.restoreAffiliation(pick(TENANTS, b), pick(SUBS, a)),
  (store, { a, b, c }, now) => {
    const kind = pick(KINDS, b)
    const rotates = kind === 'family' || kind === 'device'
    return store.createSession({
      handle: `h${c % 6}`,
      kind,
      credential: rotates
        ? { kind: 'refresh', keyId: 'k', nonce: bytes(16, c % 6) }
        : { kind: 'secret', hash: bytes(32, c % 6) },
      ...{ sub: pick(SUBS, a), tenant: pick(TENANTS, b), client: rotates ? `c${c % 2}` : null },
      device: c % 3 ? null : { handle: `d${b}`, secretHash: bytes(32, b), name: `ü${b}` },
      factor: c % 4 === 3 ? { handle: `f${a % 3}`, use: b % 3 ? useOf(`h${b}`, c) : null } : null,
      ...{ act: [], parent: a % 4 === 3 ? `h${b}` : null, scope: null, authTime: now, amr: ['pwd'], acr: null },
      ...{ idleExpiresAt: now + 6_000, absoluteExpiresAt: now + 15_000, accountRevision: null, codeHash: null },
      ...{ atLeast: [], seenSeq: 0, now, ends: [], most: c % 5 === 4 ? 2 : null },
    })
  },
  (store, { a, b, c }, now) =>
    store.rotate({
      ...{ handle: `h${a}`, client: `c${a % 2}`, generation: 1 + (c % 5 === 4 ? 2 : c % 2), graceMs: 1_000 },
      ...{ idleExpiresAt: now + b * 1_000, now },
    }),
  (store, { a, c }, now) => store.delivered([{ handle: `h${a}`, from: 1 + (c % 3), at: now }]),
  (store, { a }, now) => store.touchSession(`h${a}`, now, now + 5_000),
  (store, { a }, now) => store.resolveSession(bytes(32, a), now),
  (store, { a }, now) => store.session(`h${a}`, now),
  (store, { a }, now) => store.sessionsOf(pick(SUBS, a), now),
  (store, { c }, now) => store.expiredSessions(now, 1 + c),
  (store, _, now) => store.countSessions(now),
  (store, { a }) => store.devicesOf(pick(SUBS, a)),
  (store, { b }) => store.device(bytes(32, b)),
  (store, { c }, now) => store.createClient(client(c), now),
  (store, { a, c }) => store.updateClient(client(c), 1 + (a % 3)),
  (store, { a }) => store.restoreClient(`c${a % 2}`),
  (store, { a, b, c }, now) =>
    store.putToken(bytes(32, a), {
      ...{
        handle: `t${a}`,
        session: null,
        kind: null,
        principal: 'user',
        sub: pick(SUBS, b),
        tenant: pick(TENANTS, c),
      },
      ...{ client: null, device: null, act: [], audience: ['x'], scopes: ['a'], authTime: null, amr: [], acr: null },
      ...{ issuedAt: now, expiresAt: now + 4_000 },
      targets: [targetOf(b, c), { kind: 'token', tenant: '', id: `t${a}` } as const].map((t) => ({
        ...t,
        version: now,
      })),
    }),
  (store, { a }, now) => store.resolveToken(bytes(32, a), now),
  (store, { a, b, c }, now) =>
    store.captureVersions({
      targets: [targetOf(a, b), targetOf(b, c)],
      atLeast: [{ ...targetOf(a, b), version: now + c }],
      now,
    }),
  (store, { a, b, c }, now) =>
    store.resolveTargets({
      targets: [{ ...targetOf(a, b), version: now - c * 1_000 }],
      sub: pick(SUBS, a),
      tenant: pick(TENANTS, b),
    }),
  (store, { a, b }, now) => store.takeOnce({ key: `o${a}`, expiresAt: now + b * 500, now }),
  (store, { c }, now) => store.dropExpired(now, 1 + c),
  (store, { a, b }, now) => store.putResetCode({ sub: pick(SUBS, a), codeHash: bytes(32, b), expiresAt: now + 2_000 }),
  (store, { b }, now) => store.resetCodeOwner(bytes(32, b), now),
  (store, draw, now, step) =>
    store.end({
      ...{
        id: bytes(16, draw.wait % 7 ? step : draw.a),
        request: bytes(32, draw.b),
        cause: 'c',
        initiator: 'i',
        tenant: null,
        now,
      },
      change: changeOf(draw),
      raises: [
        {
          target: targetOf(draw.a, draw.b),
          effect: draw.c % 2 ? 'reason:admin' : 'scope:a',
          fallback: 'admin',
          atLeast: 0,
        },
      ],
      seenSeq: 0,
    }),
  (store, { a }) => store.revocation(bytes(16, a)),
  (store, { a, b }) => store.target(targetOf(a, b)),
  (store, { a, b }, now) =>
    store.admitAttempt({
      ...{
        keys: [
          { key: `k${a}`, free: 1 },
          { key: `k${b}`, free: 2 },
        ],
        baseMs: 100,
        maxMs: 5_000,
      },
      forgetMs: 3_000,
      now,
    }),
  (store, { a, b }) => store.settleAttempt({ cleared: [`k${a}`], refunded: [`k${b}`] }),
  (store, { a }) => store.nameLog({ log_id: `log${a % 2}`, predecessor: null }, a % 3 ? null : 'log0'),
  (store, { a, b }) => store.acknowledge([{ seq: 1 + a, position: { log_id: 'log0', offset: 10 + b } }]),
  (store, { a }) => store.repend([1 + a]),
  (store, { c }, now) => store.dropRows(now - c * 2_000),
  (store, { a, c }, now) =>
    store.addTokenKey(
      { kid: `k${c}`, alg: 'ES256', publicJwk: '{}', sealedPrivate: bytes(8, c), createdAt: now, signsFrom: now },
      a % 3 ? `k${a}` : null,
    ),
  (store, { a }) => store.dropTokenKeys([`k${a}`]),
  (store, draw, now) =>
    store.addFactors({
      ...{ factors: [factorOf(draw, now)], enrolment: draw.c % 2 ? `h${draw.a}` : null, most: 1, now },
    }),
  (store, { a, b, c }, now) =>
    store.putEnrolment({
      ...{ session: `h${a}`, sub: pick(SUBS, b), kind: 'totp', name: 'n', sealedSecret: bytes(48, c), challenge: null },
      expiresAt: now + 3_000,
    }),
  (store, { a }, now) => store.enrolment(`h${a}`, now),
  (store, { a, b, c }) => store.replaceCodes({ sub: pick(SUBS, b), factor: `f${a % 3}`, codes: [`${c}`] }),
  (store, { a, b, c }) => store.renameFactor({ sub: pick(SUBS, b), factor: `f${a % 3}`, name: `n${c}` }),
  (store, { a, b, c }, now) =>
    store.beginStepUp(
      {
        ...{ session: `h${a}`, sub: pick(SUBS, b), tenant: 'acme', client: null, acr: c % 2 ? 'mfa' : 'phr' },
        ...{ challenge: bytes(32, c % 2), startedAt: now, expiresAt: now + 3_000 },
      },
      now,
    ),
  (store, { a }, now) => store.stepUp(`h${a}`, now),
  (store, { c }, now) => store.takeAbandonedStepUps(now, 1 + c),
]

// By position: begin, rotate, deliver, resolve, list, end, put and resolve tokens.
const OFTEN = [4, 4, 5, 5, 5, 6, 8, 10, 11, 25, 17, 18, 18]

const draws = fc.array(
  fc.record({
    op: fc.oneof(fc.nat(CALLS.length - 1), fc.constantFrom(...OFTEN)),
    ...{ a: fc.nat(5), b: fc.nat(5), c: fc.nat(10), wait: fc.nat(250) },
  }),
  { minLength: 20, maxLength: 80 },
)

async function dump(store: SessionStore, now: number): Promise<unknown[]> {
  const people = SUBS.map(async (sub) => [
    await store.account(sub),
    await store.affiliationsOf(sub),
    await store.sessionsOf(sub, now),
    await store.devicesOf(sub),
    await store.factorsOf(sub),
  ])
  return [
    ...(await Promise.all(people)),
    ...[await store.tenants(), await store.clients(), await store.tokenKeys(), await store.logName()],
    ...[
      await store.highestSeq(),
      await store.keptRows(1, 1_000),
      await store.pendingRows({ fromSeq: 1, limit: 1_000 }),
    ],
    ...[await store.acknowledgedRows({ fromSeq: 1, toOffset: 1e6, limit: 9 }), await store.acknowledgedPosition()],
  ]
}

describe.skipIf(found === null && !hasRedis())('SQLite and Redis', () => {
  let own: RedisServer | null = null
  beforeAll(async () => {
    if (found === null) own = await RedisServer.start()
  })
  afterAll(() => own?.stop())

  it('give the same answers to the same calls', { timeout: 300_000 }, async () => {
    const url = found ?? (own as RedisServer).url
    await fc.assert(
      fc.asyncProperty(draws, async (list) => {
        const sqlite = await openSqliteStore({ path: ':memory:', run: 'inline', seal })
        const redis = await openRedisStore({ url, prefix: `differential-${randomUUID()}`, seal })
        try {
          let now = START
          // Something to meet, however short the list.
          const begin = [0, 0, 0, 14, 14, 4, 4, 4, 4].map((op, i) => ({ op, a: i, b: i, c: i * 2, wait: 1 }))
          for (const [step, draw] of [...begin, ...list].entries()) {
            now += draw.wait
            const call = CALLS[draw.op] as Call
            const [left, right] = await Promise.all([sqlite, redis].map((store) => call(store, draw, now, 100 + step)))
            expect(right, `call ${step}`).toEqual(left)
          }
          expect(await dump(redis, now)).toEqual(await dump(sqlite, now))
        } finally {
          await sqlite.close()
          await redis.close()
        }
      }),
      { numRuns: RUNS },
    )
  })
})
