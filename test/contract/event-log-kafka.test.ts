/** The Kafka adapter passes the contract of the EventLog port, on the Kafka this run found. */
import { eventLogContract } from '@countersign/event-log/contract'
import { provisionKafka } from '@countersign/event-log/kafka'
import { exampleCatalogue } from '@countersign/schemas'
import kafkajs from 'kafkajs'
import { afterAll, beforeAll, describe, it } from 'vitest'
import { kafka } from '../brokers.ts'
import { processHarness } from './event-log-harness.ts'

const found = kafka()

describe.skipIf(found === null)('EventLog on Kafka', () => {
  const { brokers, registryUrl } = found ?? { brokers: [''], registryUrl: '' }
  const admin = new kafkajs.Kafka({ brokers, logLevel: kafkajs.logLevel.NOTHING }).admin()

  beforeAll(async () => {
    await provisionKafka({
      brokers,
      registryUrl,
      clientId: 'contract',
      catalogue: exampleCatalogue,
      windowMs: 86_400_000,
    })
    await admin.connect()
  })
  afterAll(() => admin.disconnect())

  const cases = eventLogContract({
    ...processHarness({ brokers, registryUrl }),
    async cut(topic, partition, before) {
      // kafkajs deletes only from topics whose metadata it has loaded.
      await admin.fetchTopicMetadata({ topics: [topic] })
      await admin.deleteTopicRecords({ topic, partitions: [{ partition, offset: String(before) }] })
    },
  })
  for (const { name, gap, run } of cases) {
    if (gap === undefined) it(name, run)
    else it.skip(`${name} (gap: ${gap})`)
  }
})
