/** Ours: a real replica on the signals log of the run, an enforcer, and its decisions on Kafka. */
import { createEnforcer } from '@countersign/enforcer'
import type { EventLog } from '@countersign/event-log'
import { openKafkaLog } from '@countersign/event-log/kafka'
import { systemClock, systemRandom } from '@countersign/kernel'
import { defineJobClass } from '@countersign/policy'
import { Replica } from '@countersign/replica'
import { testSchemas } from '@countersign/replica/testing'
import { createLogger, createMetrics } from '@countersign/telemetry'
import { ACTION, benchCatalogue, type Export, SCOPE, type Setup, type Subject } from './contract.ts'

const PROVEN_WITHIN_MS = 60_000

export async function enforced({ run, brokers, registryUrl, logical, rootKey }: Setup): Promise<Subject> {
  const clock = systemClock
  const catalogue = benchCatalogue(run, logical)
  const log = await openKafkaLog({ brokers, registryUrl, catalogue, clientId: run, registryDeadlineMs: 20_000 })
  // Written, as a service's log is, and to nowhere.
  const logger = createLogger({ name: 'bench', level: 'info', destination: { write: () => {} } })
  const metrics = createMetrics()
  const consumer = 'bench-1'
  const replica = new Replica({ log: logOf(run, log), rootKeys: [rootKey], clock, logger, consumer })
  const enforcer = createEnforcer({
    ...{ replica, log, catalogue, clock, random: systemRandom, consumer, logger, metrics },
    classes: logical.map((topic) =>
      defineJobClass({ name: topic, topic, action: ACTION, object: 'invoice_id', scopes: [SCOPE] }),
    ),
  })
  // Afterwards, so that it is proven once it is also on record.
  await replica.start()
  if (!(await replica.waitUntil(() => replica.freshness().proven, PROVEN_WITHIN_MS))) {
    throw new Error(`the view was not proven: ${JSON.stringify(replica.freshness())}`)
  }
  return {
    eachBatch: (topic, handle) =>
      enforcer.eachBatch<Export>(topic, ({ value, event }) => handle(value, String(event.offset))),
    async stop() {
      await enforcer.stop()
      await replica.stop()
      await log.close()
    },
  }
}

/** The log with its signals, and what its consumer tells of itself, on topics of this run. */
function logOf(run: string, log: EventLog): EventLog {
  const topic = `${run}.signals`
  return {
    append: (_, records) => log.append(`${run}.progress`, records),
    tail: (options) => log.tail({ ...options, topic }),
    bounds: () => log.bounds(topic),
    read: (options) => log.read({ ...options, topic }),
    jobs: (options) => log.jobs(options),
    topics: () => log.topics(),
    createTopics: (specs) => log.createTopics(specs),
    schemas: testSchemas,
    close: async () => {},
  }
}
