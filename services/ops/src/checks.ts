/** The judgements of `doctor`, each from facts already gathered. Pure. */

import type { Bounds, LogRecord, TopicSpec, TopicState } from '@countersign/event-log'
import type { KafkaTopicState } from '@countersign/event-log/kafka'
import { differences } from '@countersign/evidence'
import { rfc3339 } from '@countersign/kernel'
import type { Freshness, ReplicaStats } from '@countersign/replica'
import type { TrustBundle } from '@countersign/schemas'

/** `warn` does not fail the whole; `skip` says what was missing to judge. */
export interface Check {
  readonly name: string
  readonly state: 'ok' | 'warn' | 'fail' | 'skip'
  readonly detail: string
}

const DAY_MS = 86_400_000

export const ok = (name: string, detail: string): Check => ({ name, state: 'ok', detail })
export const warn = (name: string, detail: string): Check => ({ name, state: 'warn', detail })
export const fail = (name: string, detail: string): Check => ({ name, state: 'fail', detail })
export const skip = (name: string, detail: string): Check => ({ name, state: 'skip', detail })

export function judgeTopics(specs: readonly TopicSpec[], found: readonly (TopicState | KafkaTopicState)[]): Check {
  const list = differences(specs, found)
  const breaking = list.filter(({ breaks }) => breaks)
  const say = (one: (typeof list)[number]): string =>
    `${one.topic}: ${one.property} is ${one.found}, wanted ${one.wanted}`
  if (breaking.length > 0) return fail('topics', `${say(breaking[0]!)}${more(breaking.length)}; see "topics drift"`)
  if (list.length > 0) return warn('topics', `${say(list[0]!)}${more(list.length)}; see "topics drift"`)
  return ok('topics', `${specs.length} as the catalogue asks`)
}

/** How safely the signals topic is kept. */
export function judgeReplication(topic: TopicState | KafkaTopicState | undefined): Check {
  const name = 'replication'
  if (topic === undefined) return skip(name, 'there is no signals topic')
  if (!('replicationFactor' in topic)) return ok(name, 'one file; synchronous=FULL')
  const { replicationFactor, minInSyncReplicas } = topic
  const facts = `${replicationFactor} copies, ${minInSyncReplicas} in sync before an append counts`
  if (replicationFactor < 3) return warn(name, `${facts}: the loss of one broker can lose revocations`)
  return minInSyncReplicas < 2 ? fail(name, facts) : ok(name, facts)
}

export function judgeView(freshness: Freshness, stats: ReplicaStats, budgetMs: number): Check {
  const name = 'checkpoint'
  if (!freshness.proven) {
    const faults = Object.entries(stats.faults).map(([fault, count]) => `${fault} ${count}×`)
    return fail(name, [`the view is not proven: ${freshness.closed ?? 'no checkpoint yet'}`, ...faults].join('; '))
  }
  const age = Math.round(freshness.ageMs)
  if (age > budgetMs) return fail(name, `the view is ${age} ms old, more than ${budgetMs}`)
  if (freshness.storeUnseenForMs > 0) {
    return warn(name, `the notary has not been able to ask the store for ${Math.round(freshness.storeUnseenForMs)} ms`)
  }
  return ok(name, `valid, ${age} ms old, ${stats.floors} floors`)
}

export function judgeFaults({ faults, rereads }: ReplicaStats): Check {
  const found = Object.entries(faults).map(([fault, count]) => `${fault} ${count}×`)
  if (rereads > 0) found.push(`read again ${rereads}×`)
  return found.length === 0 ? ok('records', 'every record is what it should be') : warn('records', found.join('; '))
}

export function judgeBundle(bundle: TrustBundle | null, now: number): Check {
  const name = 'trust bundle'
  if (bundle === null) return fail(name, 'none in force under the root keys given')
  const left = bundle.expires_at - now
  const until = `version ${bundle.version} until ${rfc3339(bundle.expires_at)}`
  if (left <= 0) return fail(name, `expired: ${until}`)
  const ending = bundle.keys.filter(({ not_after }) => not_after > now && not_after < now + 7 * DAY_MS)
  if (left < 7 * DAY_MS) return warn(name, `ends within a week: ${until}`)
  if (ending.length > 0)
    return warn(name, `${until}; ends within a week: key ${ending.map((key) => key.key_id).join(', ')}`)
  return ok(name, `${until}, ${bundle.keys.length} keys`)
}

/** What is cut before its window has passed can no longer be enforced. */
export function judgeWindow(bundle: TrustBundle | null, topic: TopicState | undefined): Check {
  const name = 'window'
  if (bundle === null || topic === undefined) return skip(name, 'needs a bundle in force and the signals topic')
  if (topic.retentionMs !== null && topic.retentionMs < bundle.window_ms) {
    return fail(name, `the log keeps ${topic.retentionMs} ms, the bundle's window is ${bundle.window_ms}`)
  }
  return ok(name, `${bundle.window_ms} ms, within what the log keeps`)
}

/** @param record a record that has just come, @param now our wall clock when it came. */
export function judgeClock(record: LogRecord | null, now: number, epsilonMs: number): Check {
  const name = 'clock'
  if (record === null) return skip(name, 'no record came to compare with')
  const ahead = record.timestamp - now
  const facts = `this clock is ${Math.abs(ahead)} ms ${ahead > 0 ? 'behind' : 'ahead of'} the log's last record`
  // Delivery takes time, so being a little ahead says nothing; being behind is skew, whatever delivery took.
  if (ahead > epsilonMs) return fail(name, `${facts}, more than ${epsilonMs}`)
  return ahead < -5 * epsilonMs ? warn(name, facts) : ok(name, facts)
}

export function judgeBounds({ start, end }: Bounds): Check {
  return end > start
    ? ok('log', `${end - start} records, [${start}, ${end})`)
    : warn('log', 'empty: no notary has begun it')
}

const more = (count: number): string => (count > 1 ? ` and ${count - 1} more` : '')
