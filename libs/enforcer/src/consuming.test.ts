/** Deliveries of several topics, commits that are the application’s, and what a group is told. */
import { NOW } from '@countersign/envelope/testing'
import { EventLogError } from '@countersign/event-log'
import type { Clock } from '@countersign/kernel'
import { FakeClock } from '@countersign/kernel/testing'
import { defineJobClass } from '@countersign/policy'
import { describe, expect, it } from 'vitest'
import type { NextOffset } from './index.ts'
import { FakeBatch, sealedMessage, stand, TOPIC } from './testing.ts'

const rules = { name: 'export', topic: 'invoices.export', action: 'export' }
const messages = (n: number) => Array.from({ length: n }, (_, i) => sealedMessage(i))

describe('a map of handlers', () => {
  const classes = [defineJobClass(rules), defineJobClass({ ...rules, name: 'pay', topic: 'payments.run' })]

  it('takes each topic to its class, and no other topic', async () => {
    const s = stand({}, { classes })
    const ran: string[] = []
    const handle = s.enforcer.eachBatch({
      export: () => void ran.push('export'),
      'payments.run': () => void ran.push('pay'),
    })
    await handle(new FakeBatch(messages(1)))
    expect(ran).toEqual(['export'])
    // Sealed for another topic.
    await handle(new FakeBatch(messages(1), 'payments.run.v1'))
    expect(ran).toEqual(['export'])
    await expect(handle(new FakeBatch(messages(1), 'emails.send.v1'))).rejects.toMatchObject({
      code: 'ENFORCER_TOPIC_MISMATCH',
      retriable: false,
    })
  })

  it('has one class for a topic', () => {
    const s = stand({}, { classes: [...classes, defineJobClass({ ...rules, name: 'again' })] })
    const both = { export: () => {}, again: () => {} }
    expect(() => s.enforcer.eachMessage(both)).toThrow(expect.objectContaining({ code: 'ENFORCER_CLASS_REPEATED' }))
  })
})

describe('a commit of the application', () => {
  it('is of what has its state, once it has, and of nothing twice', async () => {
    const s = stand()
    const committed: NextOffset[][] = []
    const handle = s.enforcer.eachBatch('export', () => s.clock.sleep(700), {
      commit: async (offsets) => void committed.push(offsets),
    })
    const done = handle(new FakeBatch(messages(3)))
    await s.clock.advance(5_000)
    await done
    expect(committed.flat().map(({ offset }) => offset)).toEqual(['1', '2', '3'])
    expect(committed[0]).toEqual([{ topic: TOPIC, partition: 3, offset: '1' }])
  })

  it('that fails gives the delivery back', async () => {
    const s = stand()
    const failing = { commit: () => Promise.reject(new Error('no coordinator')) }
    await expect(s.enforcer.eachBatch('export', () => {}, failing)(new FakeBatch(messages(1)))).rejects.toThrow(
      'no coordinator',
    )
    expect(s.log.states()).toEqual({ 0: 'executed' })
  })

  it('of a single message is of the next', async () => {
    const s = stand()
    const committed: string[] = []
    const commit = async ([next]: NextOffset[]): Promise<unknown> => committed.push(next?.offset ?? '')
    const payload = { topic: TOPIC, partition: 0, heartbeat: async () => {}, pause: () => () => {} }
    await s.enforcer.eachMessage('export', () => {}, { commit })({ ...payload, message: sealedMessage(41) })
    expect(committed).toEqual(['42'])
  })
})

describe('a group', () => {
  it('is told of a rebalance by its client’s own error', async () => {
    const s = stand()
    const batch = new FakeBatch(messages(2))
    batch.heartbeatFault = Object.assign(new Error('rebalancing'), {
      name: 'KafkaJSProtocolError',
      type: 'REBALANCE_IN_PROGRESS',
    })
    const failed = expect(s.enforcer.eachBatch('export', () => s.clock.sleep(1_500))(batch)).rejects.toBe(
      batch.heartbeatFault,
    )
    await s.clock.advance(5_000)
    await failed
    expect(batch.resolved).toEqual(['0'])
  })

  it('is asked before the next start when beats were missed', async () => {
    const inner = new FakeClock(NOW + 1_000)
    let blockedMs = 0
    const clock: Clock = {
      now: () => inner.now(),
      monotonic: () => inner.monotonic() + blockedMs,
      sleep: (ms, signal) => inner.sleep(ms, signal),
      after: (ms, fn) => inner.after(ms, fn),
    }
    const s = stand({}, { clock })
    const batch = new FakeBatch(messages(2))
    const ran: number[] = []
    const handle = s.enforcer.eachBatch('export', ({ event }) => {
      ran.push(event.offset)
      // The event loop stands still: no timer has its turn.
      blockedMs = 60_000
      batch.heartbeatFault = new Error('the session has passed')
    })
    await expect(handle(batch)).rejects.toMatchObject({ code: 'ENFORCER_BATCH_INTERRUPTED' })
    expect(ran).toEqual([0])
  })
})

describe('a log that refuses for good', () => {
  it('gives the batch back with an error that kafkajs tries again after, so that it goes on when the log does', async () => {
    const s = stand()
    const gone = {
      code: 'EVENT_LOG_TOPIC_UNKNOWN',
      retriable: false,
      publicMessage: 'no topic',
      outcome: 'none',
    } as const
    s.log.fault = () => new EventLogError(gone)
    const batch = new FakeBatch(messages(1))
    const handle = s.enforcer.eachBatch('export', () => {})
    await expect(handle(batch)).rejects.toMatchObject({
      code: 'ENFORCER_BATCH_INTERRUPTED',
      retriable: true,
      cause: { code: 'EVENT_LOG_TOPIC_UNKNOWN' },
    })
    s.log.fault = () => null
    await handle(batch.rest())
    expect(s.log.states()).toEqual({ 0: 'executed' })
  })
})

describe('a client that hands over one message after the other', () => {
  /** As the loop of kafkajs: it is told by `offset` what to take for done, and goes on unless the partition is paused. */
  class Client {
    paused = false
    next = 5
    /** Whatever happens before it asks whether the partition is paused. */
    between: () => Promise<void> = async () => {}
    readonly #handle: ReturnType<ReturnType<typeof stand>['enforcer']['eachMessage']>

    constructor(s: ReturnType<typeof stand>, ran: number[]) {
      this.#handle = s.enforcer.eachMessage('export', ({ event }) => void ran.push(event.offset))
    }

    /** Hands over what one answer of a broker had. */
    async deliver(...offsets: number[]): Promise<void> {
      const resume = (): void => {
        this.paused = false
      }
      const pause = (): (() => void) => {
        this.paused = true
        return resume
      }
      for (const offset of offsets) {
        const message = sealedMessage(offset)
        await this.#handle({ topic: TOPIC, partition: 3, message, heartbeat: async () => {}, pause })
        this.next = Number(message.offset) + 1
        await this.between()
        if (this.paused) return
      }
    }
  }

  /** Gives back what it is handed first, and is resumed before its client asks whether it is paused. */
  async function resumedTooEarly(s: ReturnType<typeof stand>, client: Client, ...offsets: number[]): Promise<void> {
    s.view.reach = 'behind'
    client.between = async () => {
      client.between = async () => {}
      expect(client).toMatchObject({ paused: true, next: offsets[0] })
      s.view.reach = 'reached'
      s.view.changed()
      await s.clock.advance(1)
      expect(client.paused).toBe(false)
    }
    const given = client.deliver(...offsets)
    await s.clock.advance(1_000)
    await given
  }

  it('and has gone on when its partition is resumed, goes back to what was given back', async () => {
    const s = stand()
    const ran: number[] = []
    const client = new Client(s, ran)
    await resumedTooEarly(s, client, 5, 6, 7)
    expect(client.next).toBe(5)
    expect(ran).toEqual([])
    await client.deliver(5, 6, 7)
    expect(ran).toEqual([5, 6, 7])
    expect(client.next).toBe(8)
  })

  it('goes on where what was given back is no longer on the log', async () => {
    const s = stand()
    const ran: number[] = []
    const client = new Client(s, ran)
    await resumedTooEarly(s, client, 5, 8, 9)
    await client.deliver(8, 9)
    expect(ran).toEqual([8, 9])
    expect(client.next).toBe(10)
  })

  it('goes on where another member of its group has done what was given back', async () => {
    const s = stand()
    const ran: number[] = []
    const client = new Client(s, ran)
    s.view.reach = 'behind'
    const given = client.deliver(5, 6)
    await s.clock.advance(1_000)
    await given
    expect(client).toMatchObject({ paused: true, next: 5 })
    s.view.reach = 'reached'
    s.view.changed()
    await s.clock.advance(1)
    // The partition was another's, and has come back.
    await client.deliver(200, 201)
    expect(ran).toEqual([200, 201])
    expect(client.next).toBe(202)
  })

  it('and is stopped when it has gone on, leaves from what was given back', async () => {
    const s = stand()
    const ran: number[] = []
    const client = new Client(s, ran)
    const stopped = resumedTooEarly(s, client, 5, 6, 7)
    const goOn = client.between
    client.between = async () => {
      await goOn()
      await s.enforcer.stop()
    }
    await stopped
    expect(ran).toEqual([])
    expect(client).toMatchObject({ paused: true, next: 5 })
  })
})
