/** What the console gathers, from the log by following it and from log and identity by asking, for all pages together. */
import { identitySuccessors } from '@countersign/enforcer'
import { type EventLog, topicSpecs } from '@countersign/event-log'
import {
  archiveSource,
  differences,
  type Explanation,
  explain,
  logSource,
  type ParkedList,
  parkedWork,
  type RedrivePlan,
  readLives,
  type Sentence,
  SentenceFold,
} from '@countersign/evidence'
import { type Clock, minutes, seconds } from '@countersign/kernel'
import type { Catalogue } from '@countersign/schemas'
import type { Logger, Metrics } from '@countersign/telemetry'
import type { ConsoleConfig } from './config.ts'
import { questionOf } from './pages/decisions.ts'
import { selectionNamed } from './pages/parked.ts'
import type { PersonNow } from './pages/people.ts'
import type { TopicsNow } from './pages/topics.ts'
import { Following } from './system/following.ts'
import type { IdentityAdmin, RevocationAnswer } from './system/identity-admin.ts'
import { Known, KnownByName } from './system/known.ts'
import { Redrives } from './system/redrives.ts'
import { Refusals } from './system/refusals.ts'
import { Standing } from './system/standing.ts'

export interface GatherOptions {
  readonly config: ConsoleConfig
  readonly log: EventLog
  readonly catalogue: Catalogue
  readonly identity: IdentityAdmin
  readonly clock: Clock
  readonly logger: Logger
  readonly metrics: Metrics
}

export interface Gathered {
  /** By subject. */
  readonly people: KnownByName<PersonNow>
  /** How identity says revocations stand, by id. */
  readonly answers: KnownByName<RevocationAnswer | null>
  readonly topics: Known<TopicsNow>
  /** By question. */
  readonly explanations: KnownByName<{ readonly found: Explanation | null }>
  readonly parked: Known<ParkedList>
  /** By selection. */
  readonly plans: KnownByName<RedrivePlan>
  readonly redrives: Redrives
  readonly refusals: Refusals
  readonly standing: Standing
  readonly following: Following
  sentences(): Promise<readonly Sentence[]>
}

/** Follows and asks nothing yet. */
export function gather({ config, log, catalogue, identity, clock, logger, metrics }: GatherOptions): Gathered {
  const known = { clock, waitMs: config.askTimeout }
  const judging = { rootKeys: [config.rootKey], epsilonMs: config.epsilon }
  const people = new KnownByName<PersonNow>((sub) => ({
    ...known,
    freshMs: seconds(3),
    ask: async () => {
      const [person, sessions] = await Promise.all([identity.person(sub), identity.sessions(sub)])
      return { person, sessions }
    },
  }))
  const answers = new KnownByName<RevocationAnswer | null>((id) => ({
    ...known,
    freshMs: seconds(1),
    ask: () => identity.revocation(id),
  }))
  const specs = topicSpecs(catalogue, { windowMs: config.window })
  const topics = new Known({
    ...known,
    freshMs: seconds(5),
    ask: async () => {
      const found = await log.topics()
      return { topics: found, differences: differences(specs, found) }
    },
  })
  const { archivePath } = config
  const explanations = new KnownByName<{ readonly found: Explanation | null }>((question) => ({
    ...known,
    freshMs: seconds(30),
    giveUpMs: seconds(60),
    ask: async (signal) => {
      // Opened each time: an archive may come, go and be cut while this runs.
      const source = archivePath === undefined ? logSource(log, catalogue) : archiveSource(archivePath)
      try {
        return { found: await explain(source, questionOf(question), { ...judging, catalogue, signal }) }
      } finally {
        await source.close()
      }
    },
  }))
  const refusals = new Refusals()
  const knownSince = (): number => following.readSince('progress')
  const standing = new Standing({ ...judging, clock, schemas: log.schemas, knownSince })
  const sentence = new SentenceFold({ ...judging, schemas: log.schemas, metrics })
  // Looked through where it stands: to redrive, the jobs themselves are needed, and no archive has them.
  const jobs = { log, catalogue, source: logSource(log, catalogue) }
  const parked = new Known({ ...known, freshMs: seconds(5), ask: (signal) => parkedWork(jobs, {}, { signal }) })
  const { successorSecret, identityUrl } = config
  const redrives = new Redrives({
    ...{ ...jobs, clock, logger, planWithinMs: seconds(60) },
    successors:
      successorSecret === undefined ? null : identitySuccessors({ url: identityUrl, secret: successorSecret, clock }),
  })
  const plans = new KnownByName((name) => ({
    ...known,
    freshMs: seconds(5),
    ask: (signal: AbortSignal) => redrives.plan(selectionNamed(name), signal),
  }))
  const lives = new Known({ ...known, freshMs: minutes(5), ask: async () => readLives(await identity.lives()) ?? [] })
  const following = new Following({
    ...{ log, catalogue, clock, logger },
    take: (one) => {
      if (one.kind === 'decisions') refusals.take(one)
      if (one.kind === 'signals' || one.kind === 'progress') sentence.take(one)
      if (one.kind === 'decisions' || one.kind === 'signals' || one.kind === 'progress') standing.take(one)
    },
  })

  return {
    ...{ people, answers, topics, explanations, parked, plans, redrives, refusals, standing, following },
    sentences: async () => sentence.sentences((await lives.tell()).value ?? []),
  }
}
