/** Second factors: added, used once for each proof, removed with what stands on them; and who was asked for one. */
import type { Signal, SignalTarget } from '@countersign/schemas'
import { expect, it } from 'vitest'
import type { FactorUse, NewSession, SessionStore } from '../port.ts'
import type { Enrolment, Factor, Session, StepUp } from '../records.ts'
import { FACTOR, STEP_UP } from '../steps/kinds.ts'
import { keyOf } from '../steps/layout.ts'
import { begin, bytes, ended, ending, family, HOUR, login, NOW, person, raise, type Seed, step } from './fixture.ts'

const WAIT = 600_000

const blank = (handle: string, kind: Factor['kind'], changes: Partial<Factor> = {}): Factor => ({
  ...{ handle, sub: 'sub-1', kind, name: 'Phone', createdAt: NOW, lastUsedAt: null },
  ...{ totp: null, codes: null, webauthn: null, ...changes },
})

export const totp = (handle: string, changes: Partial<Factor> = {}): Factor =>
  blank(handle, 'totp', { totp: { sealedSecret: bytes(48), usedStep: 100 }, ...changes })

export const recovery = (handle: string, codes: readonly string[], changes: Partial<Factor> = {}): Factor =>
  blank(handle, 'recovery', { codes, ...changes })

export const key = (handle: string, id: string, changes: Partial<Factor> = {}, counter = 5): Factor =>
  blank(handle, 'webauthn', {
    webauthn: { id, publicKey: bytes(77), counter, transports: ['usb'], verifiesUser: true, backupEligible: false },
    ...changes,
  })

export const asked = (session: string, changes: Partial<StepUp> = {}): StepUp => ({
  ...{ session, sub: 'sub-1', tenant: 'acme', client: null, acr: 'mfa', challenge: bytes(32) },
  ...{ startedAt: NOW, expiresAt: NOW + WAIT, ...changes },
})

const enrolment = (session: string, changes: Partial<Enrolment> = {}): Enrolment => ({
  ...{ session, sub: 'sub-1', kind: 'totp', name: 'Phone', sealedSecret: bytes(48), challenge: null },
  ...{ expiresAt: NOW + WAIT, ...changes },
})

const give = (store: SessionStore, ...factors: Factor[]): ReturnType<SessionStore['addFactors']> =>
  store.addFactors({ factors, enrolment: null, most: 2, now: NOW })

/** A session to go on from another, with what was shown. */
const stepped = (from: Session, handle: string, use: FactorUse | null, changes: Partial<NewSession> = {}): NewSession =>
  login(1, { factor: { handle, use }, ends: [ending(from)], acr: 'mfa', amr: ['pwd', 'otp', 'mfa'], ...changes })

const code = (stepUp: string, at: number): FactorUse => ({ kind: 'totp', stepUp, step: at, resealed: null })
const device = (id: string): SignalTarget => ({ kind: 'device', tenant: '', id })

export function factorCases(seeded: Seed): void {
  it('keeps factors of every kind as they were given, in order, for an active person alone', async () => {
    const { store } = await seeded()
    const all = [totp('fac_1'), recovery('fac_2', ['a', 'b'], { createdAt: NOW + 1 })]
    expect(await give(store, ...all)).toEqual(all)
    const keys = [key('fac_3', 'id-1', { createdAt: NOW + 2 }), key('fac_4', 'id-2', { createdAt: NOW + 3 })]
    for (const one of keys) expect(await give(store, one)).toEqual([one])
    expect(await store.factorsOf('sub-1')).toEqual([...all, ...keys])
    expect(await store.factorsOf('sub-2')).toEqual([])
    expect(await give(store, totp('fac_5', { sub: 'sub-2' }))).toEqual({ refused: 'account_unknown' })
    await ended(store, step({ change: { kind: 'account_suspended', sub: 'sub-1' } }))
    expect(await give(store, key('fac_5', 'id-3'))).toEqual({ refused: 'account_not_active' })
  })

  it('has one app and one set of codes for a person, so many keys, and each key for one person; all or none', async () => {
    const { store } = await seeded()
    await give(store, totp('fac_1'), recovery('fac_2', ['a']))
    expect(await give(store, totp('fac_3'))).toEqual({ refused: 'factor_exists' })
    expect(await give(store, recovery('fac_3', []))).toEqual({ refused: 'factor_exists' })
    expect(await give(store, key('fac_1', 'id-1'))).toEqual({ refused: 'factor_exists' })
    expect(await give(store, key('fac_3', 'id-1'), recovery('fac_4', []))).toEqual({ refused: 'factor_exists' })
    expect(await store.factorsOf('sub-1')).toHaveLength(2)
    await store.createAccount(person({ sub: 'sub-2', email: 'other' }))
    await give(store, key('fac_5', 'id-1', { sub: 'sub-2' }))
    expect(await give(store, key('fac_3', 'id-1'))).toEqual({ refused: 'factor_exists' })
    for (const id of ['2', '3']) expect(await give(store, key(`fac_k${id}`, `id-${id}`))).toHaveLength(1)
    expect(await give(store, key('fac_k4', 'id-4'))).toEqual({ refused: 'factor_limit' })
    const change = { kind: 'factors_removed', sub: 'sub-2', factors: ['fac_5'] } as const
    await ended(store, step({ change }))
    expect(await give(store, key('fac_6', 'id-1', { sub: 'sub-2' }))).toHaveLength(1)
  })

  it('renames, and replaces the codes left, of their person alone', async () => {
    const { store } = await seeded()
    await give(store, totp('fac_1'), recovery('fac_2', ['a', 'b'], { createdAt: NOW + 1 }))
    expect(await store.renameFactor({ sub: 'sub-1', factor: 'fac_1', name: 'Old' })).toHaveProperty('name', 'Old')
    const unknown = { refused: 'factor_unknown' }
    expect(await store.renameFactor({ sub: 'sub-2', factor: 'fac_1', name: 'X' })).toEqual(unknown)
    expect(await store.replaceCodes({ sub: 'sub-2', factor: 'fac_2', codes: [] })).toEqual(unknown)
    expect(await store.replaceCodes({ sub: 'sub-1', factor: 'fac_1', codes: [] })).toEqual(unknown)
    expect(await store.replaceCodes({ sub: 'sub-1', factor: 'fac_2', codes: ['c'] })).toHaveProperty('codes', ['c'])
    expect((await store.factorsOf('sub-1')).map(({ name, codes }) => [name, codes])).toEqual([
      ['Old', null],
      ['Phone', ['c']],
    ])
  })

  it('confirms an enrolment once, in the session it was begun in, while both last', async () => {
    const { store } = await seeded()
    const { handle } = await begin(store, login())
    const asking = enrolment(handle)
    await store.putEnrolment(enrolment(handle, { name: 'before' }))
    await store.putEnrolment(asking)
    expect(await store.enrolment(handle, NOW + WAIT - 1)).toEqual(asking)
    expect(await store.enrolment(handle, NOW + WAIT)).toBeNull()
    const add = (one: Factor, session: string, now = NOW): ReturnType<SessionStore['addFactors']> =>
      store.addFactors({ factors: [one], enrolment: session, most: 2, now })
    const unknown = { refused: 'enrolment_unknown' }
    expect(await add(totp('fac_1'), 'ses_other')).toEqual(unknown)
    expect(await add(totp('fac_1'), handle, NOW + WAIT)).toEqual(unknown)
    expect(await add(totp('fac_1', { sub: 'sub-2' }), handle)).toEqual(unknown)
    expect(await add(totp('fac_1'), handle)).toHaveLength(1)
    expect(await add(key('fac_2', 'id-1'), handle)).toEqual(unknown)
    const other = await begin(store, login())
    await store.putEnrolment(enrolment(other.handle))
    await ended(store, ending(other))
    expect(await add(key('fac_2', 'id-1'), other.handle)).toEqual({ refused: 'session_unknown' })
  })

  it('gives another factor to a session that stands on one, not to one that was begun before there were any', async () => {
    const { store } = await seeded()
    const [first, second] = [await begin(store, login()), await begin(store, login())]
    for (const { handle } of [first, second]) await store.putEnrolment(enrolment(handle))
    const add = (one: Factor, session: string): ReturnType<SessionStore['addFactors']> =>
      store.addFactors({ factors: [one], enrolment: session, most: 2, now: NOW })
    expect(await add(totp('fac_1'), first.handle)).toHaveLength(1)
    for (const { handle } of [first, second]) {
      await store.putEnrolment(enrolment(handle))
      expect(await add(key('fac_2', 'id-1'), handle)).toEqual({ refused: 'enrolment_unknown' })
    }
    await store.beginStepUp(asked(second.handle), NOW)
    const strong = await begin(store, stepped(second, 'fac_1', code(second.handle, 101)))
    await store.putEnrolment(enrolment(strong.handle))
    expect(await add(key('fac_2', 'id-1'), strong.handle)).toHaveLength(1)
  })

  it('takes a code of a later step than the last alone, whoever shows it at the same time', async () => {
    const { store, open } = await seeded()
    const other = await open()
    await give(store, totp('fac_1'))
    const sessions: Session[] = []
    for (let i = 0; i < 4; i++) sessions.push(await begin(store, login()))
    for (const { handle } of sessions) await store.beginStepUp(asked(handle), NOW)
    const results = await Promise.all(
      sessions.map((from, i) =>
        (i % 2 ? other : store).createSession(stepped(from, 'fac_1', code(from.handle, 101), { now: NOW + 1 })),
      ),
    )
    expect(results.filter((result) => 'session' in result)).toHaveLength(1)
    expect(results.filter((result) => 'refused' in result && result.refused === 'factor_used')).toHaveLength(3)
    const [factor] = await store.factorsOf('sub-1')
    expect([factor?.totp?.usedStep, factor?.lastUsedAt]).toEqual([101, NOW + 1])
    const left = sessions.find((_, i) => 'refused' in (results[i] ?? {})) as Session
    const resealed = bytes(48)
    const use: FactorUse = { kind: 'totp', stepUp: left.handle, step: 103, resealed }
    const next = await begin(store, stepped(left, 'fac_1', use))
    expect((await store.factorsOf('sub-1'))[0]?.totp).toEqual({ sealedSecret: resealed, usedStep: 103 })
    expect(next).toMatchObject({ acr: 'mfa', amr: ['pwd', 'otp', 'mfa'] })
    expect(next.targets).toContainEqual({ ...device('fac_1'), version: NOW + 1 })
  })

  it('uses up one recovery code at a time, and a key by its challenge and a counter that rises', async () => {
    const { store } = await seeded()
    await give(store, recovery('fac_1', ['a', 'b']), key('fac_2', 'id-1'), key('fac_3', 'id-2', {}, 0))
    const use = async (handle: string, of: object, acr?: string): Promise<unknown> => {
      const from = await begin(store, login())
      const { stepUp } = await store.beginStepUp(asked(from.handle, acr ? { acr } : {}), NOW)
      const shown = { stepUp: from.handle, challenge: stepUp.challenge, ...of } as FactorUse
      const result = await store.createSession(stepped(from, handle, shown))
      return 'refused' in result ? result.refused : 'begun'
    }
    expect(await use('fac_1', { kind: 'recovery', code: 'a' })).toBe('begun')
    expect(await use('fac_1', { kind: 'recovery', code: 'a' })).toBe('factor_used')
    expect(await use('fac_1', { kind: 'recovery', code: 'b' })).toBe('begun')
    expect(await use('fac_2', { kind: 'recovery', code: 'b' })).toBe('factor_used')
    for (const counter of [0, 4, 5]) expect(await use('fac_2', { kind: 'webauthn', counter })).toBe('factor_used')
    expect(await use('fac_2', { kind: 'webauthn', counter: 6, challenge: bytes(32) })).toBe('step_up_unknown')
    expect(await use('fac_2', { kind: 'webauthn', counter: 6 })).toBe('begun')
    expect(await use('fac_2', { kind: 'webauthn', counter: 6 })).toBe('factor_used')
    for (let i = 0; i < 2; i++) expect(await use('fac_3', { kind: 'webauthn', counter: 0 })).toBe('begun')
    expect(await use('fac_1', { kind: 'totp', step: 999, resealed: null })).toBe('factor_used')
    expect(await use('fac_9', { kind: 'totp', step: 999, resealed: null })).toBe('factor_unknown')
  })

  it('steps up only a live session of that person that was asked to, and once', async () => {
    const { store } = await seeded()
    await give(store, totp('fac_1'))
    await store.createAccount(person({ sub: 'sub-2', email: 'other', affiliations: [{ tenant: 'acme', roles: [] }] }))
    const from = await begin(store, login())
    const tryStep = async (at: number, changes: Partial<NewSession> = {}, of = from.handle): Promise<unknown> => {
      const result = await store.createSession(stepped(from, 'fac_1', code(of, at), changes))
      return 'refused' in result ? result.refused : 'begun'
    }
    expect(await tryStep(101)).toBe('step_up_unknown')
    await store.beginStepUp(asked(from.handle), NOW)
    expect(await tryStep(101, { now: NOW + WAIT })).toBe('step_up_unknown')
    expect(await tryStep(101, { sub: 'sub-2' })).toBe('factor_unknown')
    const others = await begin(store, login(1, { sub: 'sub-2' }))
    await store.beginStepUp(asked(others.handle, { sub: 'sub-2' }), NOW)
    expect(await tryStep(101, {}, others.handle)).toBe('step_up_unknown')
    const gone = await begin(store, login())
    await store.beginStepUp(asked(gone.handle), NOW)
    await ended(store, ending(gone))
    expect(await tryStep(101, {}, gone.handle)).toBe('session_unknown')
    expect((await store.factorsOf('sub-1'))[0]?.totp?.usedStep).toBe(100)
    expect(await tryStep(101)).toBe('begun')
    expect(await store.stepUp(from.handle, NOW)).toBeNull()
    expect(await tryStep(102)).toBe('step_up_unknown')
  })

  it('asks once at a time: the latest demand and challenge count, and who never answers is told once', async () => {
    const { store, open } = await seeded()
    const other = await open()
    const first = asked('ses_1')
    expect(await store.beginStepUp(first, NOW)).toEqual({ stepUp: first, isNew: true, abandoned: null })
    const again = asked('ses_1', { acr: 'phr', client: 'app', startedAt: NOW + 5, expiresAt: NOW + 5 + WAIT })
    const stands = { ...again, startedAt: NOW, expiresAt: NOW + WAIT }
    expect(await store.beginStepUp(again, NOW + 5)).toEqual({ stepUp: stands, isNew: false, abandoned: null })
    expect(await store.stepUp('ses_1', NOW + 5)).toEqual(stands)
    expect(await store.stepUp('ses_1', NOW + WAIT)).toBeNull()
    const late = asked('ses_1', { startedAt: NOW + WAIT, expiresAt: NOW + 2 * WAIT })
    expect(await store.beginStepUp(late, NOW + WAIT)).toEqual({ stepUp: late, isNew: true, abandoned: stands })
    await store.beginStepUp(asked('ses_2'), NOW)
    await store.beginStepUp(asked('ses_3'), NOW)
    expect(await store.takeAbandonedStepUps(NOW + WAIT - 1, 9)).toEqual([])
    expect(await store.takeAbandonedStepUps(NOW + WAIT, 1)).toHaveLength(1)
    const taken = await Promise.all([store, other].map((one) => one.takeAbandonedStepUps(NOW + WAIT, 9)))
    expect(taken.flat()).toHaveLength(1)
    expect(await store.stepUp('ses_1', NOW + WAIT)).toEqual(late)
  })

  it('ends what stands on a factor with it, whatever was begun from that, and nothing else', async () => {
    const { store } = await seeded()
    await give(store, totp('fac_1'), recovery('fac_2', ['a']))
    const from = await begin(store, login())
    await store.beginStepUp(asked(from.handle), NOW)
    const next = await begin(store, stepped(from, 'fac_1', code(from.handle, 101)))
    const handed = await begin(store, family({ factor: { handle: 'fac_1', use: null } }))
    const plain = await begin(store, login())
    const live = async (): Promise<readonly boolean[]> =>
      Promise.all([next, handed, plain].map(async ({ handle }) => (await store.session(handle, NOW)) !== null))
    expect(await live()).toEqual([true, true, true])
    const remove = (sub: string, ...factors: string[]): ReturnType<SessionStore['end']> =>
      store.end(
        step({
          change: { kind: 'factors_removed', sub, factors },
          raises: factors.map((id) => raise(device(id), 'reason:device_lost')),
        }),
      )
    for (const refused of [remove('sub-2', 'fac_1'), remove('sub-1', 'fac_1', 'fac_9'), remove('sub-1')])
      expect(await refused).toEqual({ refused: 'factor_unknown' })
    expect(await live()).toEqual([true, true, true])
    expect(await remove('sub-1', 'fac_1')).toMatchObject({ repeated: false })
    expect(await live()).toEqual([false, false, true])
    expect((await store.factorsOf('sub-1')).map(({ handle }) => handle)).toEqual(['fac_2'])
    expect(await store.createSession(family({ factor: { handle: 'fac_1', use: null } }))).toEqual({
      refused: 'factor_unknown',
    })
  })

  it('forgets the factors of who is deleted, and enrolments whose time has passed', async () => {
    const { store } = await seeded()
    await give(store, totp('fac_1'), key('fac_2', 'id-1'))
    await store.putEnrolment(enrolment('ses_1'))
    expect(await store.dropExpired(NOW + WAIT - 1, 9)).toBe(0)
    expect(await store.dropExpired(NOW + WAIT, 9)).toBe(1)
    await ended(store, step({ change: { kind: 'account_deleted', sub: 'sub-1' } }))
    expect(await store.factorsOf('sub-1')).toEqual([])
    await store.createAccount(person({ sub: 'sub-2', email: 'other' }))
    expect(await give(store, key('fac_3', 'id-1', { sub: 'sub-2' }))).toHaveLength(1)
  })

  it('does not have a factor back that was removed before a rollback', async () => {
    const { store } = await seeded()
    await give(store, totp('fac_1'), key('fac_2', 'id-1'))
    const from = await begin(store, login(1, { factor: { handle: 'fac_1', use: null } }))
    const signal: Signal = {
      ...{ id: bytes(16), seq: 7, target: device('fac_1'), effect: 'reason:device_lost', floor: NOW + 9 },
      ...{ fallback: 'device_lost', cause: 'factor_removal', initiator: 'sub-1' },
    }
    const [body, signature] = [bytes(9), bytes(70)]
    await store.adopt([{ signal, body, signature, position: { log_id: 'log', offset: 3 } }], 7, [])
    expect((await store.factorsOf('sub-1')).map(({ handle }) => handle)).toEqual(['fac_2'])
    expect(await store.session(from.handle, NOW)).toBeNull()
  })

  it('keeps what a newer version wrote of factors and step-ups', async () => {
    const { store, rewrite } = await seeded()
    await give(store, totp('fac_1'))
    const from = await begin(store, login())
    await store.beginStepUp(asked(from.handle), NOW)
    const later = (text: string): string => {
      const record = JSON.parse(text)
      return JSON.stringify({
        ...record,
        schema: 99,
        later: [1],
        ...(record.totp && { totp: { ...record.totp, x: 1 } }),
      })
    }
    const keys = [keyOf(FACTOR, 'fac_1'), keyOf(STEP_UP, from.handle)]
    for (const one of keys) await rewrite(one, later)
    await store.beginStepUp(asked(from.handle, { acr: 'phr' }), NOW)
    await store.renameFactor({ sub: 'sub-1', factor: 'fac_1', name: 'New' })
    const texts: string[] = []
    for (const one of keys)
      await rewrite(one, (text) => {
        texts.push(text)
        return text
      })
    const [factor, stepUp] = texts.map((text) => JSON.parse(text))
    expect(factor).toMatchObject({ schema: 99, later: [1], name: 'New', totp: { x: 1, usedStep: 100 } })
    expect(stepUp).toMatchObject({ schema: 99, later: [1], acr: 'phr' })
    await begin(store, stepped(from, 'fac_1', code(from.handle, 101), { idleExpiresAt: NOW + HOUR }))
    await rewrite(keys[0] as string, (text) => {
      expect(JSON.parse(text)).toMatchObject({ later: [1], totp: { x: 1, usedStep: 101 } })
      return text
    })
  })
}
