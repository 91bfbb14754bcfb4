/** What kafkajs errors mean for the caller of the port. */
import { EventLogError } from '../errors.ts'

interface KafkaFault {
  name?: string
  type?: string
  code?: string | number
  cause?: unknown
  originalError?: unknown
}

/** The error under kafkajs' wrappers for used-up retries. */
export function rootCause(error: unknown): KafkaFault {
  let at = error as KafkaFault
  for (let depth = 0; depth < 5; depth++) {
    const wrapper = at?.name === 'KafkaJSNumberOfRetriesExceeded' || at?.name === 'KafkaJSNonRetriableError'
    if (!wrapper || at.cause === undefined || at.cause === at) break
    at = at.cause as KafkaFault
  }
  return at ?? {}
}

/** Broker answers that say the batch has too many bytes; its own limit may be below the one of the port. */
const TOO_LARGE: readonly string[] = ['MESSAGE_TOO_LARGE', 'RECORD_LIST_TOO_LARGE']

/** Broker answers after which the batch is certainly not on the log. */
const REFUSED: ReadonlySet<string> = new Set([
  'NOT_LEADER_FOR_PARTITION',
  'LEADER_NOT_AVAILABLE',
  'NOT_ENOUGH_REPLICAS',
  'UNKNOWN_TOPIC_OR_PARTITION',
  'TOPIC_AUTHORIZATION_FAILED',
  'CLUSTER_AUTHORIZATION_FAILED',
  ...TOO_LARGE,
  'INVALID_TIMESTAMP',
  'CORRUPT_MESSAGE',
])

/** Failures before a byte of the request left: the broker never saw the batch. */
const NOT_SENT: ReadonlySet<string> = new Set([
  'KafkaJSBrokerNotFound',
  'KafkaJSMetadataNotLoaded',
  'KafkaJSTopicMetadataNotLoaded',
  'KafkaJSSASLAuthenticationError',
])

/** @returns false only when the failed batch certainly is not on the log. */
export function mayHaveArrived(error: unknown): boolean {
  const { name, type, code } = rootCause(error)
  if (type !== undefined) return !REFUSED.has(type)
  if (name !== undefined && NOT_SENT.has(name)) return false
  return code !== 'ECONNREFUSED' && code !== 'ENOTFOUND'
}

/** True when waiting and trying again can help. */
export function isPassing(error: unknown): boolean {
  const { type } = rootCause(error)
  return (
    type === undefined || !['TOPIC_AUTHORIZATION_FAILED', 'CLUSTER_AUTHORIZATION_FAILED', ...TOO_LARGE].includes(type)
  )
}

export function isTooLarge(error: unknown): boolean {
  return TOO_LARGE.includes(rootCause(error).type ?? '')
}

export function isUnknownTopic(error: unknown): boolean {
  return rootCause(error).type === 'UNKNOWN_TOPIC_OR_PARTITION'
}

export function unavailable(error: unknown, outcome: 'none' | 'unknown' = 'none'): EventLogError {
  const { name, type } = rootCause(error)
  return new EventLogError({
    code: 'EVENT_LOG_UNAVAILABLE',
    retriable: isPassing(error),
    publicMessage: 'the event log cannot be reached',
    detail: { reason: type ?? name ?? 'unknown' },
    outcome,
    cause: error,
  })
}

export function topicUnknown(topic: string, partition?: number): EventLogError {
  return new EventLogError({
    code: 'EVENT_LOG_TOPIC_UNKNOWN',
    retriable: false,
    publicMessage: partition === undefined ? `no topic ${topic}` : `no topic ${topic} with partition ${partition}`,
    detail: { topic },
  })
}

export function recordTooLarge(topic: string, cause: unknown): EventLogError {
  return new EventLogError({
    code: 'EVENT_LOG_RECORD_TOO_LARGE',
    retriable: false,
    publicMessage: `a record for ${topic} is larger than the broker takes`,
    detail: { topic },
    cause,
  })
}
