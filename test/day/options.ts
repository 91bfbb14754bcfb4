/** Command line of the day. */

import { join } from 'node:path'
import { parseArgs } from 'node:util'

export interface DayOptions {
  /** Run to the end and stop. */
  readonly once: boolean
  /** Print one JSON object as the last line of stdout. */
  readonly json: boolean
  readonly log: 'embedded' | 'kafka'
  /** Brokers given by address; empty for the local stack. */
  readonly brokers: readonly string[]
  readonly registryUrl: string | null
  /** Brokers of the local stack. */
  readonly stackBrokers: number
  /** Kill one broker of the local stack midway. */
  readonly killBroker: boolean
  readonly folder: string
  readonly jobs: number
  /** Chooses the decisions that are made again. */
  readonly seed: number
}

export const HELP = `Plays a day of logins, jobs, revocations, crashes and outages, and judges every promise.

  npm start                          the day on an embedded log, then stays up
  npm start -- --once --json         to the end; talk on stderr, one JSON object as the last line of stdout
  npm start -- --kafka               on real Kafka: the local stack if it is up (npm run stack -- up), else one
                                     broker of its own for the day
  npm start -- --kafka --stack-brokers 3 --kill-broker
                                     on three brokers, one of which is killed with SIGKILL midway
  npm start -- --brokers host:port,… --registry URL
                                     on Kafka somewhere else

  --data DIR     where keys, store, log and process logs go (default .data/day; emptied at each start)
  --jobs N       jobs in all, from 1000 (default 2000)
  --seed N       chooses which decisions are made again offline (default: the time)

Exit code 0: every promise held. 1: one did not, or a process failed. 2: wrong arguments.`

/** @throws {TypeError} with one line that says what would be right. */
export function readOptions(args: readonly string[], root: string): DayOptions | 'help' {
  const { values } = parseArgs({
    args: [...args],
    options: {
      once: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      kafka: { type: 'boolean', default: false },
      brokers: { type: 'string' },
      registry: { type: 'string' },
      'stack-brokers': { type: 'string', default: '1' },
      'kill-broker': { type: 'boolean', default: false },
      data: { type: 'string' },
      jobs: { type: 'string', default: '2000' },
      seed: { type: 'string', default: String(Math.floor(Date.now() / 1_000)) },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) return 'help'
  const brokers = values.brokers?.split(',').filter((b) => b !== '') ?? []
  if (brokers.length > 0 && !values.registry) throw new TypeError('--brokers needs --registry URL')
  const stackBrokers = Number(values['stack-brokers'])
  if (stackBrokers !== 1 && stackBrokers !== 3) throw new TypeError('--stack-brokers is 1 or 3')
  const jobs = Number(values.jobs)
  if (!Number.isInteger(jobs) || jobs < 1000) throw new TypeError('--jobs takes a whole number from 1000')
  const seed = Number(values.seed)
  if (!Number.isSafeInteger(seed) || seed < 0) throw new TypeError('--seed takes a whole number')
  return {
    once: values.once,
    json: values.json,
    log: values.kafka || brokers.length > 0 ? 'kafka' : 'embedded',
    brokers,
    registryUrl: values.registry ?? null,
    stackBrokers,
    killBroker: values['kill-broker'],
    folder: values.data ?? join(root, '.data/day'),
    jobs,
    seed,
  }
}
