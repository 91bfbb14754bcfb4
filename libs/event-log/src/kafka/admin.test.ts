import type { Admin, Kafka } from 'kafkajs'
import { expect, test } from 'vitest'
import { KafkaAdmin } from './admin.ts'

/** A client whose first answers about offsets are these errors. */
function faulty(errors: Error[]): { kafka: Kafka; disconnected: () => number } {
  let disconnected = 0
  const admin = {
    connect: async () => {},
    disconnect: async () => void disconnected++,
    fetchTopicOffsets: async () => {
      const error = errors.shift()
      if (error) throw error
      return [{ partition: 0, offset: '7', high: '7', low: '2' }]
    },
  } as unknown as Admin
  return { kafka: { admin: () => admin } as unknown as Kafka, disconnected: () => disconnected }
}

test('a topic that kafkajs took for loaded is asked about again, over the connection that others wait on', async () => {
  const { kafka, disconnected } = faulty([new TypeError('partitions of undefined'), new TypeError('again')])
  expect(await new KafkaAdmin(kafka).bounds('jobs', 0)).toEqual({ start: 2, end: 7 })
  expect(disconnected()).toBe(0)
})

test('what goes on failing is told', async () => {
  const { kafka, disconnected } = faulty(Array.from({ length: 5 }, () => new TypeError('always')))
  await expect(new KafkaAdmin(kafka).bounds('jobs', 0)).rejects.toThrow('always')
  expect(disconnected()).toBe(1)
})
