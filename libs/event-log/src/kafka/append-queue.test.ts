import { FakeClock } from '@countersign/kernel/testing'
import { describe, expect, it } from 'vitest'
import type { EventLogError } from '../errors.ts'
import type { NewRecord } from '../port.ts'
import { AppendQueue } from './append-queue.ts'
import type { OutgoingMessage, RebuildingProducer } from './producer.ts'

const record = (value: string): NewRecord => ({ key: null, value: Buffer.from(value), headers: [] })
const fault = (parts: { name?: string; type?: string; code?: string }): Error =>
  Object.assign(new Error('from the broker'), parts)
const REFUSED = fault({ type: 'NOT_ENOUGH_REPLICAS' })
const AMBIGUOUS = fault({ name: 'KafkaJSConnectionClosedError' })
const NO_TOPIC = fault({ type: 'UNKNOWN_TOPIC_OR_PARTITION' })

/** Answers by script; once it has run out, every send succeeds. */
class ScriptedProducer {
  readonly sent: string[][] = []
  rebuilt = 0
  next = 0
  readonly script: Error[]

  constructor(script: Error[]) {
    this.script = script
  }

  async send(_topic: string, messages: OutgoingMessage[]): Promise<{ baseOffset: string; logAppendTime: string }> {
    this.sent.push(messages.map(({ value }) => String(value)))
    const error = this.script.shift()
    if (error) throw error
    const baseOffset = String(this.next)
    this.next += messages.length
    return { baseOffset, logAppendTime: '77' }
  }

  rebuild(): void {
    this.rebuilt++
  }
}

function queue(script: Error[], options: { exists?: boolean } = {}) {
  const producer = new ScriptedProducer(script)
  const clock = new FakeClock()
  const appends = new AppendQueue('t', 3, {
    producer: producer as unknown as RebuildingProducer,
    clock,
    deadlineMs: 1_000,
    topicExists: () => Promise.resolve(options.exists ?? true),
  })
  return { producer, clock, appends }
}

async function failure(attempt: Promise<unknown>, clock: FakeClock): Promise<EventLogError> {
  const caught = attempt.then(
    () => expect.unreachable('it must fail'),
    (error: EventLogError) => error,
  )
  await clock.advance(5_000)
  return caught
}

describe('AppendQueue', () => {
  it('sends what is asked together in one request, and gives each its own positions', async () => {
    const { appends, producer } = queue([])
    const [a, b] = await Promise.all([appends.append([record('a1'), record('a2')]), appends.append([record('b')])])
    expect(producer.sent).toEqual([['a1', 'a2', 'b']])
    expect(a).toEqual([
      { partition: 3, offset: 0, timestamp: 77 },
      { partition: 3, offset: 1, timestamp: 77 },
    ])
    expect(b).toEqual([{ partition: 3, offset: 2, timestamp: 77 }])
  })

  it('repeats a request until it is acknowledged, before anything behind it', async () => {
    const { appends, producer, clock } = queue([REFUSED, AMBIGUOUS])
    const first = appends.append([record('a')])
    await Promise.resolve()
    const second = appends.append([record('b')])
    await clock.advance(500)
    await Promise.all([first, second])
    expect(producer.sent).toEqual([['a'], ['a'], ['a'], ['b']])
  })

  it('says none when every attempt was refused, unknown when one may have arrived', async () => {
    const refused = queue(Array(50).fill(REFUSED))
    expect(await failure(refused.appends.append([record('a')]), refused.clock)).toMatchObject({
      code: 'EVENT_LOG_UNAVAILABLE',
      retriable: true,
      outcome: 'none',
    })
    const ambiguous = queue([REFUSED, AMBIGUOUS, ...Array(50).fill(REFUSED)])
    expect(await failure(ambiguous.appends.append([record('a')]), ambiguous.clock)).toMatchObject({
      code: 'EVENT_LOG_UNAVAILABLE',
      outcome: 'unknown',
    })
  })

  it('says unknown when an earlier part of a large append is on the log', async () => {
    const { appends, producer, clock } = queue([])
    const send = producer.send.bind(producer)
    let calls = 0
    producer.send = (topic, messages) => (calls++ === 0 ? send(topic, messages) : Promise.reject(REFUSED))
    const many = Array.from({ length: 501 }, (_, i) => record(String(i)))
    expect(await failure(appends.append(many), clock)).toMatchObject({ outcome: 'unknown' })
  })

  it('gives up at once on what waiting cannot help', async () => {
    const { appends, producer } = queue([fault({ type: 'TOPIC_AUTHORIZATION_FAILED' })])
    await expect(appends.append([record('a')])).rejects.toMatchObject({ retriable: false, outcome: 'none' })
    expect(producer.sent.length).toBe(1)
  })

  it('says of a record the broker finds too large that it is, and of one that may have arrived that it may', async () => {
    const tooLarge = fault({ type: 'MESSAGE_TOO_LARGE' })
    const refused = queue([tooLarge])
    const answer = { code: 'EVENT_LOG_RECORD_TOO_LARGE', retriable: false, outcome: 'none' }
    await expect(refused.appends.append([record('a')])).rejects.toMatchObject(answer)
    expect(refused.producer.sent.length).toBe(1)
    const ambiguous = queue([AMBIGUOUS, tooLarge])
    expect(await failure(ambiguous.appends.append([record('a')]), ambiguous.clock)).toMatchObject({
      code: 'EVENT_LOG_UNAVAILABLE',
      outcome: 'unknown',
    })
  })

  it('asks anew for each call when together they are too large, so that none pays for another', async () => {
    const tooLarge = fault({ type: 'MESSAGE_TOO_LARGE' })
    const { appends, producer } = queue([tooLarge, tooLarge])
    const [a, b] = await Promise.allSettled([appends.append([record('a')]), appends.append([record('b')])])
    expect(a).toMatchObject({ status: 'rejected', reason: { code: 'EVENT_LOG_RECORD_TOO_LARGE' } })
    expect(b).toMatchObject({ status: 'fulfilled', value: [{ offset: 0 }] })
    expect(producer.sent).toEqual([['a', 'b'], ['a'], ['b']])
  })

  it('replaces the producer when a topic is unknown, and goes on if the topic is there after all', async () => {
    const { appends, producer, clock } = queue([NO_TOPIC])
    const appended = appends.append([record('a')])
    await clock.advance(100)
    await expect(appended).resolves.toMatchObject([{ offset: 0 }])
    expect(producer.rebuilt).toBe(1)
    const gone = queue([NO_TOPIC], { exists: false })
    await expect(gone.appends.append([record('a')])).rejects.toMatchObject({ code: 'EVENT_LOG_TOPIC_UNKNOWN' })
  })
})
