/** A small race of each kind on each store. `npm run races` runs them large. */
import { SeededRandom } from '@countersign/kernel/testing'
import { describe, expect, it } from 'vitest'
import { editedBy } from '../identity/edited-source.ts'
import { hasRedis } from '../redis-server.ts'
import { PLANTED } from './planted.ts'
import { type RaceOptions, race } from './run.ts'
import { World } from './world.ts'

const SEED = 4711
const GRACE_MS = 4_000

function options(store: RaceOptions['store']): RaceOptions {
  return { seed: SEED, store, families: 4, clients: 24, graceMs: GRACE_MS }
}

/** One flaw on one store is enough to know that it would show. */
const plantedStore = hasRedis() ? 'redis' : 'sqlite'

describe('refresh tokens in races', { timeout: 120_000 }, () => {
  for (const store of ['redis', 'sqlite'] as const) {
    it.skipIf(store === 'redis' && !hasRedis())(
      `CVE-2026-1035, CVE-2026-9802: one live child per family, and restarts revive nothing (${store}, seed ${SEED})`,
      async () => {
        const tally = await race(options(store))
        console.log(`races on ${store}:`, JSON.stringify(tally.figures()))
        expect(tally.violations).toEqual([])
        expect(tally.of('reuse signals')).toBe(tally.of('families with reuse'))
        expect(tally.of('identity killed')).toBeGreaterThan(0)
      },
    )
  }

  for (const { name, id, edits, caught } of PLANTED.filter((planted) => planted.id !== null)) {
    it(`${id}: would show that ${name}`, async () => {
      const tally = await race({ ...options(plantedStore), families: 2, plain: editedBy(edits) })
      expect(tally.violations.join('\n')).toMatch(caught)
    })
  }
})

const REVOKED = 'token_revocation'
const IGNORES_THE_STORE = {
  file: 'services/identity/src/oauth/revocation.ts',
  find: "return answer.state === 'refused' && answer.code === 'session_unknown' ? null : STORE_AWAY",
  replace: 'return null',
}

describe.skipIf(!hasRedis())('revocation while the store fails', { timeout: 60_000 }, () => {
  /** @returns the status of each attempt while the store fails, and what the token was worth after it. */
  async function attempts(plain: Record<string, string>): Promise<{ status: number | null; live: boolean }[]> {
    const world = await World.start({
      store: 'redis',
      random: new SeededRandom(SEED),
      families: 3,
      graceMs: GRACE_MS,
      plain,
    })
    try {
      const { refresher, behind } = world.instances[0] as World['instances'][number]
      const tokens = await world.begin(3)
      const seen: { status: number | null; live: boolean }[] = []
      for (const [i, fails] of (['request', 'answer', 'away'] as const).entries()) {
        const token = tokens[i] as string
        // The store answers what it is asked, and fails when the ending is written: before, after, or altogether.
        if (behind && fails !== 'away') behind.doom = (chunk) => (chunk.includes(REVOKED) ? fails : null)
        else behind?.away()
        const status = await refresher.revoke(token)
        if (behind) behind.doom = () => null
        behind?.back()
        let outcome = await world.refresh(token)
        while (outcome.kind === 'again') outcome = await world.refresh(token)
        seen.push({ status, live: outcome.kind === 'tokens' })
        // Asked again once the store is back.
        let again = await refresher.revoke(token)
        while (again === 503) again = await refresher.revoke(token)
        expect(again).toBe(200)
        expect((await world.refresh(token)).kind).toBe('refused')
      }
      return seen
    } finally {
      await world.stop()
    }
  }

  it('CVE-2020-15223: never says that a token is revoked while it is not', async () => {
    const seen = await attempts({})
    expect(seen.filter(({ status, live }) => status === 200 && live)).toEqual([])
    expect(seen[0]).toEqual({ status: 503, live: true })
    expect(seen[2]).toEqual({ status: 503, live: true })
  })

  it('CVE-2020-15223: would show an answer that ignores the store', async () => {
    expect((await attempts(editedBy([IGNORES_THE_STORE])))[0]).toEqual({ status: 200, live: true })
  })
})
