import type { Session } from '@countersign/session-store'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { SESSION_KINDS, targetOf, whoGoes } from './kinds.ts'

const session = (handle: string, createdAt: number, lastSeenAt: number) =>
  ({ handle, createdAt, lastSeenAt }) as Session
const handles = (sessions: readonly Session[]) => sessions.map(({ handle }) => handle)
const rule = (whoGoes: 'oldest' | 'idlest' | 'refuse', most: number) => ({ ...SESSION_KINDS.browser, whoGoes, most })

it('lets the oldest or the idlest go, as many as it takes for one more, and nobody where the new one is refused', () => {
  const live = [session('c', 3, 30), session('a', 1, 40), session('b', 2, 20)]
  expect(handles(whoGoes(live, rule('oldest', 4)))).toEqual([])
  expect(handles(whoGoes(live, rule('oldest', 3)))).toEqual(['a'])
  expect(handles(whoGoes(live, rule('idlest', 3)))).toEqual(['b'])
  expect(handles(whoGoes(live, rule('oldest', 2)))).toEqual(['a', 'b'])
  expect(handles(whoGoes(live, rule('refuse', 1)))).toEqual([])
})

it('chooses the same in every process, whatever the order they are listed in', () => {
  const arbitrary = fc.uniqueArray(fc.record({ handle: fc.string(), createdAt: fc.nat(3), lastSeenAt: fc.nat(3) }), {
    selector: ({ handle }) => handle,
    maxLength: 8,
  })
  fc.assert(
    fc.property(arbitrary, fc.nat(8), fc.constantFrom('oldest', 'idlest'), (items, most, who) => {
      const live = items as Session[]
      const going = whoGoes(live, rule(who, most))
      expect(handles(whoGoes([...live].reverse(), rule(who, most)))).toEqual(handles(going))
      expect(live.length - going.length).toBeLessThanOrEqual(Math.max(0, most - 1))
    }),
  )
})

it('ends families by their family, everything else by its session', () => {
  const kinds = Object.keys(SESSION_KINDS) as (keyof typeof SESSION_KINDS)[]
  const targets = kinds.map((kind) => `${kind} ${targetOf({ kind, handle: 'x' }).kind}`)
  expect(targets).toEqual(['browser session', 'admin session', 'api session', 'family family', 'device family'])
})

it('gives each kind an idle life within its absolute one, and administrators the shortest', () => {
  for (const { idleMs, absoluteMs } of Object.values(SESSION_KINDS)) expect(idleMs).toBeLessThan(absoluteMs)
  const { admin, ...others } = SESSION_KINDS
  for (const other of Object.values(others)) {
    expect(admin.absoluteMs).toBeLessThan(other.absoluteMs)
    expect(admin.most).toBeLessThan(other.most)
  }
})
