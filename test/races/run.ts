/**
 * A race, whole: bursts on every family with connections cut at random, bursts with processes killed midway, then, the
 * grace over, thefts. Judged from what clients got and from the signals on the log.
 */
import { systemClock } from '@countersign/kernel'
import { SeededRandom } from '@countersign/kernel/testing'
import type { Service } from '../day/processes.ts'
import type { StoreKind } from '../identity/site.ts'
import { RacedFamily } from './family.ts'
import { Tally } from './tally.ts'
import { World } from './world.ts'

export interface RaceOptions {
  readonly seed: number
  readonly store: StoreKind
  readonly families: number
  /** Clients that present the same token at once. */
  readonly clients: number
  readonly graceMs: number
  readonly say?: (line: string) => void
  /** Environment of the identities as it is. */
  readonly plain?: Readonly<Record<string, string>>
}

const AT_ONCE = 4
const THIEVES = 4
/** Of chunks, either way. */
const CUTS = { before: 0.02, behind: 0.01 }

/** @returns what was counted and every broken promise. */
export async function race(options: RaceOptions): Promise<Tally> {
  const { seed, families: count, clients, graceMs, say = () => {} } = options
  const random = new SeededRandom(seed)
  const tally = new Tally()
  const world = await World.start({ ...options, random })
  try {
    const families = (await world.begin(count)).map((token) => new RacedFamily(token, world, tally, graceMs))
    say(`${count} families begun`)

    world.cutting(CUTS.before, CUTS.behind)
    await each(families, (family) => family.burst(clients))
    say(`${tally.of('refreshes')} refreshes, connections cut at random`)

    const over = new AbortController()
    const killed = kill(world, random, tally, over.signal).then(
      () => null,
      (error: unknown) => error,
    )
    await each(families, (family) => family.burst(Math.ceil(clients / 10)))
    over.abort()
    const failure = await killed
    if (failure !== null) throw failure
    say(`${tally.of('identity killed')} kills of identity, ${tally.of('Redis killed')} of Redis midway`)

    // Until a successor is used, its predecessor may be asked for it again if nobody knows that the answer arrived: only
    // what comes back later than that is theft.
    await each(families, (family) => family.goesOn())
    await systemClock.sleep(graceMs + 1000)
    const robbed = families.filter((family, i) => family.used.length > 1 && i % 2 === 0)
    const others = families.filter((family) => !robbed.includes(family))
    await each(others, (family) => family.goesOn())
    await each(robbed, (family) => family.stolen(family.used[random.below(family.used.length - 1)] as string, THIEVES))
    world.cutting(0, 0)
    await each(robbed, (family) => family.replayAll())
    say(`${robbed.length} families robbed, ${others.length} went on`)

    await judgeSignals(world, tally, robbed)
    tally.cuts(
      'before identity',
      world.instances.map(({ before }) => before),
    )
    tally.cuts(
      'before Redis',
      world.instances.flatMap(({ behind }) => behind ?? []),
    )
    return tally
  } finally {
    await world.stop()
  }
}

async function each(families: readonly RacedFamily[], act: (family: RacedFamily) => Promise<void>): Promise<void> {
  const rest = [...families]
  const worker = async (): Promise<void> => {
    for (let family = rest.shift(); family; family = rest.shift()) await act(family)
  }
  await Promise.all(Array.from({ length: AT_ONCE }, worker))
}

/** SIGKILL of one identity, then of Redis, in turn, each started again at once, until it is over; both at least once. */
async function kill(world: World, random: SeededRandom, tally: Tally, over: AbortSignal): Promise<void> {
  const { redis } = world.site
  for (let turn = 0; !over.aborted || turn < 2; turn++) {
    await systemClock.sleep(200 + random.below(800))
    if (turn % 2 === 1 && redis) {
      await redis.kill()
      tally.count('Redis killed')
      await redis.restart()
    } else {
      const { service } = world.instances[random.below(world.instances.length)] as World['instances'][number]
      await service.kill()
      tally.count('identity killed')
      await startAgain(service, tally)
    }
  }
}

/** As a supervisor does: one whose connections are cut while it starts ends, and is started once more. */
async function startAgain(service: Service, tally: Tally): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    service.start()
    try {
      return await service.ready()
    } catch (error) {
      if (attempt >= 20) throw error
      tally.count('starts of identity that failed')
    }
  }
}

/** Waits until every reuse has its signal, then looks whether any has more, or was none. */
async function judgeSignals(world: World, tally: Tally, robbed: readonly RacedFamily[]): Promise<void> {
  const expected = new Set(robbed.map(({ handle }) => handle))
  const deadline = systemClock.monotonic() + 20_000
  let seen: string[] = []
  do {
    await systemClock.sleep(500)
    seen = await world.reuseSignals()
  } while (new Set(seen).size < expected.size && tally.violations.length === 0 && systemClock.monotonic() < deadline)
  await systemClock.sleep(1500)
  seen = await world.reuseSignals()
  tally.count('reuse signals', seen.length)
  for (const handle of expected) {
    const found = seen.filter((one) => one === handle).length
    if (found !== 1) tally.broken(`${handle}: ${found} signals for one reuse`)
  }
  for (const handle of new Set(seen)) {
    if (!expected.has(handle)) tally.broken(`${handle}: a signal of reuse where nobody was robbed`)
  }
}
