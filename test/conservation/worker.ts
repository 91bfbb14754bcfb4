/**
 * A worker process: an ordinary kafkajs consumer around the enforcer that ships. It follows the signals log from its
 * start, waits for a shift, and dies where the shift says.
 */
import { openSync, writeSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { createEnforcer, PermanentError, type Work } from '@countersign/enforcer'
import type { EventLog, NewRecord } from '@countersign/event-log'
import { EventLogError } from '@countersign/event-log'
import { openKafkaLog } from '@countersign/event-log/kafka'
import { systemClock, systemRandom } from '@countersign/kernel'
import { SeededRandom } from '@countersign/kernel/testing'
import { Replica } from '@countersign/replica'
import type { InvoiceExport } from '@countersign/schemas'
import { silentLogger } from '@countersign/telemetry'
import { type Consumer, type EachBatchPayload, type EachMessagePayload, Kafka, logLevel } from 'kafkajs'
import type { ConsumerEvent } from '../checker/history.ts'
import { phaseOf } from './phase.ts'
import { KillSwitch } from './points.ts'
import type { FromWorker, Shift, ToWorker } from './shift.ts'
import { CHECKPOINT_MS, classesOf, EPSILON_MS, ownTopics, type Place, topicsOf } from './topics.ts'

const place = JSON.parse(process.env.CONSERVATION_PLACE ?? '{}') as Place & { readonly rootKey: string }
const catalogue = topicsOf(place.site)
const tell = (message: FromWorker): void => void process.send?.(message)

const connection = { brokers: place.brokers, clientId: place.site }
const log = ownTopics(
  await openKafkaLog({ ...connection, registryUrl: place.registryUrl, catalogue, registryDeadlineMs: 20_000 }),
  place.site,
)
const replica = new Replica({
  log,
  clock: systemClock,
  random: systemRandom,
  logger: silentLogger,
  rootKeys: [Buffer.from(place.rootKey, 'base64')],
  consumer: `worker-${process.pid}`,
  epsilonMs: EPSILON_MS,
  watchdogMs: 10 * CHECKPOINT_MS,
  expectedEntries: 1_000,
})
const jobTopics = catalogue.entries.filter(({ role }) => role === 'jobs').map(({ name }) => name)
/** What ends the shift, once it has begun. */
let leave: Promise<() => Promise<void>> = Promise.resolve(async () => {})

process.on('disconnect', () => process.exit(0))
process.on('message', (message: ToWorker) => {
  if (message.type === 'work') leave = work(message.shift)
  else void leave.then((end) => end()).then(() => tell({ type: 'left' }))
})
await replica.start()
await replica.waitUntil(() => replica.freshness().proven, 60_000)
tell({ type: 'ready' })

type Offsets = Parameters<Consumer['commitOffsets']>[0]

/** @returns what ends the shift in good order. */
async function work(shift: Shift): Promise<() => Promise<void>> {
  const kill = new KillSwitch(shift.kill)
  const history = openSync(shift.history, 'a')
  const enforcer = createEnforcer({
    replica,
    log: { schemas: log.schemas, append: failing(shift, kill) },
    catalogue,
    clock: systemClock,
    random: systemRandom,
    consumer: shift.consumer,
    classes: classesOf(place.site),
    logger: silentLogger,
    epsilonMs: EPSILON_MS,
    recordWithinMs: 800,
    heartbeatMs: 200,
    admitAtMost: shift.admitAtMost,
    history: {
      record(event) {
        writeSync(history, `${JSON.stringify(event)}\n`)
        if (event.type === 'start') kill.pass('handler called')
        if (event.type === 'end') kill.pass('handler ended')
      },
    },
  })
  const note = (event: ConsumerEvent): void => void writeSync(history, `${JSON.stringify(event)}\n`)
  const handle =
    (name: string) =>
    async (work: Work<InvoiceExport>): Promise<void> => {
      const { value, event } = work
      const { format: fate, work_ms } = value
      const told = { consumer: shift.consumer, class: name, eventId: event.id }
      // Some do not listen: what they commit is refused all the same.
      const listening = fate === 'deaf' ? undefined : { signal: work.signal }
      await sleep(Math.ceil(work_ms / 2), undefined, listening)
      kill.pass('handler halfway')
      await sleep(Math.floor(work_ms / 2), undefined, listening)
      if (fate === 'permanent') throw new PermanentError('not_to_be_done')
      if (fate === 'fails' || (fate === 'fails-once' && event.attempt === 1)) throw new Error('failed')
      if (name === 'pay') {
        work.commitIfAllowed(({ asOf }) => note({ type: 'effect', ...told, at: systemClock.now(), asOf }))
        kill.pass('effect committed')
      }
      note({ type: 'returned', ...told, at: systemClock.now() })
    }
  const consumer = consumerOf(shift)
  consumer.on(consumer.events.GROUP_JOIN, () => tell({ type: 'joined' }))
  consumer.on(consumer.events.COMMIT_OFFSETS, () => kill.pass('after the commit'))
  await consumer.connect()
  await consumer.subscribe({ topics: jobTopics, fromBeginning: true })
  const handlers = { export: handle('export'), pay: handle('pay') }
  const commit = shift.commits === 'own' && { commit: (offsets: Offsets) => consumer.commitOffsets(offsets) }
  const options = { concurrency: shift.concurrency, ...commit }
  const batches = enforcer.eachBatch(handlers, options)
  const messages = enforcer.eachMessage(handlers, options)
  const eachMessage = async (payload: EachMessagePayload): Promise<void> => {
    kill.pass('fetched')
    await messages(payload)
    kill.pass('batch returned')
  }
  const eachBatch = async (payload: EachBatchPayload): Promise<void> => {
    kill.pass('fetched')
    await batches(watched(payload, kill))
    kill.pass('batch returned')
  }
  await consumer.run({
    partitionsConsumedConcurrently: shift.partitionsAtOnce,
    ...(shift.commits === 'own' ? { autoCommit: false } : { autoCommitInterval: 300 }),
    ...(shift.each === 'message' ? { eachMessage } : { eachBatch, eachBatchAutoResolve: shift.autoResolve }),
  })
  return async () => {
    await Promise.all([enforcer.stop(300), consumer.disconnect()])
    kill.disarm()
  }
}

function consumerOf({ group, sessionTimeoutMs }: Shift): Consumer {
  const client = new Kafka({
    brokers: [...place.brokers],
    clientId: place.site,
    logLevel: logLevel.NOTHING,
    retry: { initialRetryTime: 50, maxRetryTime: 500, retries: 5 },
  })
  return client.consumer({
    groupId: group,
    sessionTimeout: sessionTimeoutMs,
    heartbeatInterval: Math.floor(sessionTimeoutMs / 5),
    rebalanceTimeout: 5_000,
    minBytes: 1,
    maxWaitTimeInMs: 50,
    // A few dozen messages, so that a run has many batches.
    maxBytesPerPartition: 24_000,
    allowAutoTopicCreation: false,
  })
}

/** The group's side of a batch, with the points that lie there. */
function watched(payload: EachBatchPayload, kill: KillSwitch): EachBatchPayload {
  return {
    ...payload,
    resolveOffset(offset) {
      kill.pass('before the offset is resolved')
      payload.resolveOffset(offset)
      kill.pass('after the offset is resolved')
    },
    async commitOffsetsIfNecessary(offsets) {
      kill.pass('before the commit')
      await payload.commitOffsetsIfNecessary(offsets)
    },
  }
}

/** Appends as the enforcer sees them: with the points that lie there, and a log that fails now and then. */
function failing({ appends, seed }: Shift, kill: KillSwitch): EventLog['append'] {
  const random = new SeededRandom(seed)
  let awayUntil = 0
  return async (topic: string, records: readonly NewRecord[]) => {
    const phase = phaseOf(topic, records, log.schemas)
    kill.pass(`before the ${phase}`)
    const luck = random.unit()
    const now = systemClock.monotonic()
    if (luck < appends.away) awayUntil = now + 1_200
    if (now < awayUntil) throw unanswered('none')
    if (luck < appends.away + appends.refused) throw unanswered('none')
    const appended = await log.append(topic, records)
    if (luck > 1 - appends.unanswered) throw unanswered('unknown')
    kill.pass(`after the ${phase}`)
    return appended
  }
}

function unanswered(outcome: 'none' | 'unknown'): EventLogError {
  return new EventLogError({ code: 'EVENT_LOG_UNAVAILABLE', retriable: true, publicMessage: 'away', outcome })
}
