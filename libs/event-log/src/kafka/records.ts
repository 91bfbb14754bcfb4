/** kafkajs messages as records of the port. */
import type { KafkaMessage } from 'kafkajs'
import { toHeaderPairs } from '../headers.ts'
import type { LogRecord } from '../port.ts'

export function toRecord(topic: string, partition: number, message: KafkaMessage): LogRecord {
  return {
    topic,
    partition,
    offset: Number(message.offset),
    timestamp: Number(message.timestamp),
    key: message.key,
    value: message.value,
    headers: toHeaderPairs(message.headers),
  }
}
