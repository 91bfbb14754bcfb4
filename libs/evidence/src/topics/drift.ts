/** Compares the topics that are with those the catalogue asks for. Pure. */
import type { TopicSpec, TopicState } from '@countersign/event-log'
import type { KafkaTopicState } from '@countersign/event-log/kafka'

/** One way in which a topic is not as asked. */
export interface Difference {
  readonly topic: string
  /** Name of the property; `topic` when it is missing. */
  readonly property: string
  readonly wanted: string
  readonly found: string
  /** Whether promises of Countersign rest on it. */
  readonly breaks: boolean
}

/** @returns differences in the order of `wanted`; topics nobody asked for are none of our business. */
export function differences(
  wanted: readonly TopicSpec[],
  found: readonly (TopicState | KafkaTopicState)[],
): Difference[] {
  return wanted.flatMap((spec) => {
    const state = found.find(({ name }) => name === spec.name)
    if (state === undefined) {
      return [{ topic: spec.name, property: 'topic', wanted: 'present', found: 'missing', breaks: true }]
    }
    const list: Difference[] = []
    const compare = (
      property: string,
      wanted: string | number,
      found: string | number | null,
      breaks: boolean,
    ): void => {
      if (wanted !== found) {
        list.push({ topic: spec.name, property, wanted: String(wanted), found: String(found ?? 'unlimited'), breaks })
      }
    }
    compare('partitions', spec.partitions, state.partitions, true)
    // A spec says how long at least: longer costs room, shorter loses what is still wanted.
    if ((state.retentionMs ?? Infinity) < spec.retentionMs) {
      compare('retention.ms', spec.retentionMs, state.retentionMs, true)
    }
    compare('cleanup.policy', 'delete', state.cleanupPolicy, true)
    compare('message.timestamp.type', 'LogAppendTime', state.timestampType, true)
    if ('minInSyncReplicas' in state) {
      const inSync = state.replicationFactor >= 3 ? 2 : 1
      if (state.minInSyncReplicas < inSync) compare('min.insync.replicas', inSync, state.minInSyncReplicas, true)
      if (state.compressionType !== 'producer') {
        compare('compression.type', 'uncompressed', state.compressionType, state.compressionType !== 'gzip')
      }
    }
    return list
  })
}
