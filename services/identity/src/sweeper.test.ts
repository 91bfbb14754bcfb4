import { FakeClock } from '@countersign/kernel/testing'
import type { SessionStore } from '@countersign/session-store'
import { silentLogger } from '@countersign/telemetry'
import { expect, it } from 'vitest'
import { Sweeper, type SweeperOptions } from './sweeper.ts'

interface Case {
  readonly closed: 'starting' | null
  readonly fails: string | null
  /** How many expired sessions each look finds. */
  readonly found?: number[]
  readonly expire?: SweeperOptions['sessionEndings']['expire']
}

function sweeper({ closed, fails, found = [], expire = async () => ({ state: 'unknown', id: '' }) }: Case) {
  const done: string[] = []
  const note = (what: string): void => {
    done.push(what)
    if (what === fails) throw new Error('away')
  }
  let expired = 250
  const store = {
    expiredSessions: async () => {
      note('sweep')
      return Array.from({ length: found.shift() ?? 0 }, () => ({ handle: 'ses', kind: 'browser', tenant: 'acme' }))
    },
    dropExpired: async (_now: number, limit: number) => {
      note('drop')
      const dropped = Math.min(limit, expired)
      expired -= dropped
      return dropped
    },
  } as unknown as SessionStore
  const clock = new FakeClock()
  const made = new Sweeper({
    store,
    sessionEndings: { expire },
    view: { freshness: () => ({ proven: false, closed, asOf: 0, ageMs: 0, storeUnseenForMs: 0 }) },
    clock,
    logger: silentLogger,
    everyMs: 1_000,
    windowMs: 1_000,
    also: [async () => note('keys')],
  })
  return { made, done, clock }
}

it('does every part, whichever fails, and drops expired tokens until none is left', async () => {
  for (const fails of [null, 'sweep', 'keys']) {
    const { made, done, clock } = sweeper({ closed: null, fails })
    made.start()
    await clock.advance(0)
    expect(done).toEqual(['sweep', 'drop', 'drop', 'drop', 'keys'])
    await clock.advance(1_000)
    expect(done.slice(5)).toEqual(['sweep', 'drop', 'keys'])
    await made.stop()
  }
})

it('ends nothing before the log was read', async () => {
  const { made, done, clock } = sweeper({ closed: 'starting', fails: null })
  made.start()
  await clock.advance(0)
  expect(done).not.toContain('sweep')
  expect(done).toContain('keys')
  await made.stop()
})

it('ends expired sessions until none is found, however few a look finds, and not those it cannot end for ever', async () => {
  const pending = async () => ({ state: 'pending', id: '', seq: 1 }) as const
  const all = sweeper({ closed: null, fails: null, found: [100, 1, 40], expire: pending })
  expect(await all.made.sweep()).toBe(141)
  expect(all.done).toHaveLength(4)
  const away = sweeper({ closed: null, fails: null, found: Array.from({ length: 1_000 }, () => 100) })
  expect(await away.made.sweep()).toBe(0)
  expect(away.done).toHaveLength(1)
})
