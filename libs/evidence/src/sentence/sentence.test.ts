/** The arithmetic of the sentence, and what counts as measured. */
import { defineJobClass, type JobClassInput } from '@countersign/policy'
import type { TargetKind } from '@countersign/schemas'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { CREDENTIALS, readLives } from './credentials.ts'
import { Exposures } from './measured.ts'
import { type SentenceConsumer, sentencesOf, spoken } from './sentence.ts'

const AT = 1_750_000_000_000
const instance = (n: number): Buffer => Buffer.alloc(16, n)
const rules = (change: Partial<JobClassInput> = {}) =>
  defineJobClass({ name: 'payment', topic: 'payments.run', action: 'pay', preset: 'money', ...change })
const consumer = (n: number, change: Partial<SentenceConsumer> = {}): SentenceConsumer => ({
  consumer: `worker-${n}`,
  instance: instance(n),
  classes: [rules()],
  epsilonMs: 250,
  gone: false,
  ...change,
})
const NOTHING = { of: () => null }
const told = (consumers: readonly SentenceConsumer[]) =>
  sentencesOf({ consumers, exposures: NOTHING, lives: [], windowMs: null })

describe('the bound', () => {
  it('is the staleness budget of the class and the skew, shown as a sum', () => {
    const [first] = told([consumer(1)])
    expect(first).toMatchObject({
      credential: 'session_cookie',
      jobClass: 'payment',
      boundMs: 3_500,
      terms: [
        { what: 'staleness budget of payment', ms: 3_250 },
        { what: 'skew', ms: 250 },
      ],
      arithmetic: 'staleness budget of payment 3,250 ms + skew 250 ms = 3,500 ms',
      text: 'A stolen session cookie stays useful for payment for at most 3.5 s after its revocation (staleness budget of payment 3,250 ms + skew 250 ms = 3,500 ms); not measured yet. Nothing is committed after it either.',
    })
  })

  it('is the widest of those who have the class now; who is gone counts where nobody else has it', () => {
    const wide = [rules({ stalenessBudgetMs: 9_000 })]
    expect(told([consumer(1), consumer(2, { classes: wide })])[0]?.boundMs).toBe(9_250)
    expect(told([consumer(1), consumer(2, { classes: wide, gone: true })])[0]?.boundMs).toBe(3_500)
    expect(told([consumer(2, { classes: wide, gone: true })])[0]?.boundMs).toBe(9_250)
    expect(told([consumer(1), consumer(2, { epsilonMs: 1_000 })])[0]?.boundMs).toBe(4_250)
  })

  it('is none for a class that only observes', () => {
    const [first] = told([consumer(1), consumer(2, { classes: [rules({ observe: true })] })])
    expect(first).toMatchObject({ boundMs: null, arithmetic: 'no bound' })
    expect(first?.text).toContain('stays useful for payment whatever is revoked')
  })

  it('says what the class lets finish, and what had started', () => {
    const [exporting] = told([consumer(1, { classes: [rules({ name: 'export', preset: 'finish-accepted' })] })])
    expect(exporting?.beside).toEqual([
      'work asked for before a role change, logout, limit or expiry may still start, until its envelope ends',
      'what had started goes on until its handler heeds its signal',
    ])
  })

  it('speaks of no credential whose principals the class does not take', () => {
    const kinds = (change: Partial<JobClassInput>) =>
      told([consumer(1, { classes: [rules(change)] })]).map(({ credential }) => credential)
    expect(kinds({ principals: ['user'] })).toEqual(['session_cookie', 'jwt', 'opaque_token'])
    expect(kinds({ principals: ['webhook'] })).toEqual(['webhook_signature'])
    expect(kinds({})).toEqual(Object.keys(CREDENTIALS))
  })

  it('comes with how long each lives that nobody revokes; a foreign JWT for the window at most', () => {
    const lives = readLives({ lives: [{ credential: 'jwt', name: 'access token', idleMs: null, absoluteMs: 300_000 }] })
    const rows = sentencesOf({ consumers: [consumer(1)], exposures: NOTHING, lives: lives ?? [], windowMs: 86_400_000 })
    const jwt = rows.find(({ credential }) => credential === 'jwt')
    expect(jwt?.unrevoked.map(({ absoluteMs }) => absoluteMs)).toEqual([300_000, 86_400_000])
    expect(jwt?.text).toContain('If nobody revokes it: 5 minutes (access token), 1 day (JWT of another issuer).')
  })
})

describe('lives of an answer', () => {
  it.each([
    [null],
    [{}],
    [{ lives: 'x' }],
    [{ lives: [{ credential: 'key', name: 'x', idleMs: null, absoluteMs: 1 }] }],
  ])('are not read of %j', (body) => expect(readLives(body)).toBeNull())
})

describe('what was measured', () => {
  const ALL: ReadonlySet<TargetKind> = new Set(['session', 'token'])
  const revocation = (
    offset: number,
    change: { at?: number; kind?: TargetKind; logId?: string; id?: Uint8Array } = {},
  ) => {
    return { logId: 'log-1', offset, at: AT + offset, kind: 'session' as const, id: Buffer.of(offset), ...change }
  }
  const applied = (n: number, list: readonly (readonly [offset: number, after: number])[], unlisted = 0) => ({
    log_id: 'log-1',
    instance: instance(n),
    applied: list.map(([offset, after]) => ({ offset, at: AT + offset + after })),
    unlisted,
  })

  it('is, of each revocation, how long the last consumer took', () => {
    const exposures = new Exposures({ keep: 100 })
    for (const offset of [1, 2, 3]) exposures.revocation(revocation(offset))
    exposures.progress(
      applied(1, [
        [1, 5],
        [2, 7],
        [3, 1],
      ]),
    )
    exposures.progress(
      applied(2, [
        [1, 30],
        [3, 2],
      ]),
    )
    const all = exposures.of([instance(1), instance(2)], ALL, 3_500)
    expect(all).toEqual({ p50: 7, p99: 30, max: 30, revocations: 3, from: AT + 1, to: AT + 3 })
    expect(exposures.of([instance(1)], ALL, 3_500)?.max).toBe(7)
    expect(exposures.of([instance(3)], ALL, 3_500)).toBeNull()
  })

  it('counts for a kind of credential only what ends it', () => {
    const exposures = new Exposures({ keep: 100 })
    exposures.revocation(revocation(1))
    exposures.revocation(revocation(2, { kind: 'token' }))
    exposures.progress(
      applied(1, [
        [1, 5],
        [2, 7],
      ]),
    )
    expect(exposures.of([instance(1)], CREDENTIALS.session_cookie.endedBy, null)?.revocations).toBe(1)
    expect(exposures.of([instance(1)], CREDENTIALS.jwt.endedBy, null)?.revocations).toBe(2)
    expect(exposures.of([instance(1)], CREDENTIALS.webhook_signature.endedBy, null)).toBeNull()
  })

  it('is at most the bound: a consumer that was frozen admitted nothing meanwhile', () => {
    const exposures = new Exposures({ keep: 100 })
    exposures.revocation(revocation(1))
    exposures.progress(applied(1, [[1, 60_000]]))
    expect(exposures.of([instance(1)], ALL, 3_500)?.max).toBe(3_500)
    expect(exposures.of([instance(1)], ALL, null)?.max).toBe(60_000)
  })

  it('counts once what was put on the log once more', () => {
    const exposures = new Exposures({ keep: 100 })
    exposures.revocation(revocation(1))
    exposures.revocation(revocation(2, { id: revocation(1).id }))
    exposures.progress(
      applied(1, [
        [1, 5],
        [2, 0],
      ]),
    )
    expect(exposures.of([instance(1)], ALL, null)).toMatchObject({ revocations: 1, max: 5 })
  })

  it('is never below nothing, whatever the clocks say', () => {
    const exposures = new Exposures({ keep: 100 })
    exposures.revocation(revocation(1))
    exposures.progress(applied(1, [[1, -40]]))
    expect(exposures.of([instance(1)], ALL, null)?.max).toBe(0)
  })

  it('takes what is not listed for as late as the last that is', () => {
    const exposures = new Exposures({ keep: 100 })
    for (let offset = 1; offset <= 9; offset++) exposures.revocation(revocation(offset, { at: AT }))
    exposures.progress({
      ...applied(
        1,
        [
          [1, 4],
          [9, 0],
        ],
        7,
      ),
      applied: [
        { offset: 1, at: AT + 4 },
        { offset: 9, at: AT + 50 },
      ],
    })
    expect(exposures.of([instance(1)], ALL, null)).toMatchObject({ p50: 50, max: 50, revocations: 9 })
  })

  it('tells logs apart, and is over the last so many of them', () => {
    const exposures = new Exposures({ keep: 2 })
    for (const offset of [1, 2, 3]) exposures.revocation(revocation(offset))
    exposures.revocation(revocation(1, { logId: 'log-2', at: AT + 100 }))
    exposures.progress(
      applied(1, [
        [1, 500],
        [2, 7],
        [3, 1],
      ]),
    )
    exposures.progress({ ...applied(1, [[1, 0]]), log_id: 'log-2', applied: [{ offset: 1, at: AT + 109 }] })
    expect(exposures.of([instance(1)], ALL, null)).toMatchObject({ p50: 1, max: 9, revocations: 2, to: AT + 100 })
  })

  it('does not depend on the order or the repetition of what is told, as the plain count says', () => {
    const arbitrary = fc.array(
      fc.record({ n: fc.integer({ min: 1, max: 3 }), offset: fc.integer({ min: 1, max: 20 }), after: fc.nat(9_000) }),
      { maxLength: 40 },
    )
    fc.assert(
      fc.property(arbitrary, fc.nat(), (samples, turn) => {
        const first = new Map(samples.toReversed().map((one) => [`${one.n} ${one.offset}`, one]))
        const distinct = [...first.values()]
        const exposures = new Exposures({ keep: 100 })
        const order = distinct.map((_, i) => distinct[(i + turn) % distinct.length]!)
        const tell = (): void => {
          for (const { n, offset, after } of order) exposures.progress(applied(n, [[offset, after]]))
        }
        if (turn % 2 === 0) tell()
        for (let offset = 1; offset <= 20; offset++) exposures.revocation(revocation(offset))
        tell()
        const worst = Map.groupBy(distinct, ({ offset }) => offset)
        const plain = [...worst.values()].map((list) => Math.min(5_000, Math.max(...list.map(({ after }) => after))))
        const sorted = plain.sort((a, b) => a - b)
        const measured = exposures.of([1, 2, 3].map(instance), ALL, 5_000)
        expect(measured?.revocations ?? 0).toBe(plain.length)
        expect(measured?.max ?? 0).toBe(sorted.at(-1) ?? 0)
        expect(measured?.p50 ?? 0).toBe(sorted[Math.ceil(sorted.length / 2) - 1] ?? 0)
      }),
    )
  })
})

it.each([
  [0, '0 ms'],
  [29, '29 ms'],
  [1_000, '1 s'],
  [3_500, '3.5 s'],
  [5_251, '5.25 s'],
  [60_000, '1 minute'],
  [90_000, '90 s'],
  [300_000, '5 minutes'],
  [43_200_000, '12 hours'],
  [86_400_000, '1 day'],
  [7_776_000_000, '90 days'],
])('%i ms is spoken %s', (ms, text) => expect(spoken(ms)).toBe(text))
