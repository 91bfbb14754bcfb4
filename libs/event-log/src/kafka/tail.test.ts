import { FakeClock } from '@countersign/kernel/testing'
import type { Consumer, ConsumerRunConfig, EachBatchPayload, Kafka } from 'kafkajs'
import { expect, it } from 'vitest'
import type { LogRecord } from '../port.ts'
import { KafkaTail } from './tail.ts'

/** A cluster whose consumers hand over what a test gives them. */
class ScriptedKafka {
  readonly runs: ConsumerRunConfig[] = []

  consumer(): Consumer {
    const nothing = async (): Promise<void> => {}
    const consumer = {
      events: {},
      on: () => {},
      connect: nothing,
      subscribe: nothing,
      disconnect: nothing,
      seek: () => {},
      run: async (config: ConsumerRunConfig) => void this.runs.push(config),
    }
    return consumer as unknown as Consumer
  }

  /** Hands one record to the newest consumer. */
  async give(offset: number): Promise<void> {
    const message = {
      offset: String(offset),
      key: null,
      value: Buffer.of(1),
      timestamp: '1',
      headers: {},
      attributes: 0,
    }
    const payload = { batch: { messages: [message] }, isRunning: () => true } as unknown as EachBatchPayload
    await this.runs.at(-1)?.eachBatch?.(payload)
  }
}

it('goes on after a handler that threw, and stops', async () => {
  const kafka = new ScriptedKafka()
  const context = {
    kafka: kafka as unknown as Kafka,
    clock: new FakeClock(),
    clientId: 'c',
    topic: 't',
    partition: 0,
    bounds: async () => ({ start: 0, end: 9 }),
    deleteGroup: async () => {},
  }
  const taken: number[] = []
  const records = async ([record]: readonly LogRecord[]): Promise<void> => {
    taken.push(record?.offset as number)
    if (record?.offset !== 1) throw new Error('from the handler')
  }
  const tail = new KafkaTail(context, 0, { records, outOfRange: () => {} })
  await tail.restart()
  await expect(kafka.give(0)).rejects.toThrow('from the handler')
  await tail.restart()
  await kafka.give(1)
  await expect(kafka.give(2)).rejects.toThrow('from the handler')
  await tail.stop()
  expect(taken).toEqual([0, 1, 2])
})

it('passes on nothing from beyond a gap once its owner has gone back, while the gap was looked into', async () => {
  const kafka = new ScriptedKafka()
  let answer: (bounds: { start: number; end: number }) => void = () => {}
  const context = {
    kafka: kafka as unknown as Kafka,
    clock: new FakeClock(),
    clientId: 'c',
    topic: 't',
    partition: 0,
    bounds: () => new Promise<{ start: number; end: number }>((resolve) => (answer = resolve)),
    deleteGroup: async () => {},
  }
  const taken: number[] = []
  const records = (found: readonly LogRecord[]): void => void taken.push(...found.map(({ offset }) => offset))
  const tail = new KafkaTail(context, 3, { records, outOfRange: () => {} })
  await tail.restart()
  const beyond = kafka.give(5)
  await new Promise(setImmediate)
  tail.seek(0)
  answer({ start: 0, end: 9 })
  await beyond
  await kafka.give(0)
  expect(taken).toEqual([0])
  await tail.stop()
})
