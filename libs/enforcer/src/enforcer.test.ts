/** How classes, handlers and groups are put together; metrics; and that it fits kafkajs as published. */

import { SeededRandom } from '@countersign/kernel/testing'
import { defineJobClass } from '@countersign/policy'
import { exampleCatalogue } from '@countersign/schemas'
import { createMetrics, silentLogger } from '@countersign/telemetry'
import type { Consumer } from 'kafkajs'
import { describe, expect, it } from 'vitest'
import { createEnforcer, FAULT_OUTCOMES, type Settlement } from './index.ts'
import { FakeBatch, type Stand, sealedMessage, stand, TOPIC } from './testing.ts'

const made = (s: Stand, classes: Parameters<typeof createEnforcer>[0]['classes']): void => {
  const { view: replica, log, clock } = s
  const rest = { random: new SeededRandom(1), consumer: 'w', logger: silentLogger, catalogue: exampleCatalogue }
  createEnforcer({ replica, log, clock, classes, ...rest })
}

describe('classes', () => {
  const least = { name: 'one', topic: 'invoices.export', action: 'export' }

  it('are found by name, or by a topic that has exactly one', () => {
    const { enforcer } = stand()
    expect(enforcer.eachMessage('export', () => {})).toBeTypeOf('function')
    expect(enforcer.eachMessage('invoices.export', () => {})).toBeTypeOf('function')
    expect(() => enforcer.eachMessage('payments.run', () => {})).toThrow(
      expect.objectContaining({ code: 'ENFORCER_CLASS_UNKNOWN' }),
    )
  })

  it('of one topic are not told apart by it', () => {
    const s = stand({}, { classes: [defineJobClass(least), defineJobClass({ ...least, name: 'two' })] })
    expect(() => s.enforcer.eachMessage('invoices.export', () => {})).toThrow(
      expect.objectContaining({ code: 'ENFORCER_CLASS_UNKNOWN' }),
    )
  })

  it('are refused when repeated, or for a topic nobody knows', () => {
    const s = stand()
    expect(() => made(s, [defineJobClass(least), defineJobClass(least)])).toThrow(
      expect.objectContaining({ code: 'ENFORCER_CLASS_REPEATED' }),
    )
    expect(() => made(s, [defineJobClass({ ...least, topic: 'x' })])).toThrow(
      expect.objectContaining({ code: 'ENFORCER_TOPIC_UNKNOWN' }),
    )
  })

  it('do not take messages of another topic', async () => {
    const s = stand()
    const batch = new FakeBatch([sealedMessage(0)], 'payments.run.v1')
    await expect(s.enforcer.eachBatch('export', () => {})(batch)).rejects.toMatchObject({
      code: 'ENFORCER_TOPIC_MISMATCH',
    })
    expect(s.log.records).toEqual([])
  })
})

describe('eachMessage', () => {
  it('resolves only when the message has its final record', async () => {
    const s = stand()
    let beats = 0
    const heartbeat = async (): Promise<void> => void beats++
    const payload = { topic: TOPIC, partition: 0, message: sealedMessage(3), heartbeat, pause: () => () => {} }
    await s.enforcer.eachMessage('export', ({ heartbeat: beat }) => beat())(payload)
    expect([s.log.states(), beats]).toEqual([{ 3: 'executed' }, 1])
  })

  it('throws when it has none, so that it is delivered again', async () => {
    const s = stand()
    const payload = {
      topic: TOPIC,
      partition: 0,
      message: sealedMessage(3),
      heartbeat: async () => {},
      pause: () => () => {},
    }
    s.log.fault = () => new Error('killed')
    await expect(s.enforcer.eachMessage('export', () => {})(payload)).rejects.toThrow('killed')
  })
})

describe('run', () => {
  const job = (offset: number) => {
    const { key, value, headers } = sealedMessage(offset)
    return { topic: TOPIC, partition: 1, offset, key, value, headers: headers as Record<string, Buffer> }
  }

  it('works on a message no group delivered, and says what became of it', async () => {
    const s = stand()
    const executed: Settlement = await s.enforcer.run('export', job(0), () => {})
    s.view.reach = 'beyond'
    const denied = await s.enforcer.run('export', job(1), () => {})
    expect([executed.outcome, denied.outcome, denied.reason]).toEqual(['executed', 'denied', 'position_beyond_log'])
    expect(s.log.states()).toEqual({ 0: 'executed', 1: 'denied position_beyond_log' })
  })
})

describe('metrics', () => {
  it('count states, attempts and faults by class', async () => {
    const metrics = createMetrics()
    const s = stand({ attempts: 1 }, { metrics })
    const batch = new FakeBatch([sealedMessage(0), { ...sealedMessage(1), headers: {} }, sealedMessage(2)])
    await s.enforcer.eachBatch('export', ({ event }) => {
      if (event.offset === 2) throw new Error('boom')
    })(batch)
    const text = await metrics.text()
    expect(text).toContain('countersign_decisions_total{class="export",outcome="executed",reason="allowed"} 1')
    expect(text).toContain(
      'countersign_decisions_total{class="export",outcome="dead_lettered",reason="handler_failed"} 1',
    )
    expect(text).toContain('countersign_envelope_faults_total{class="export",code="envelope_missing"} 1')
    expect(text).toContain('countersign_attempts_total{class="export",result="failed"} 1')
    expect(text).toContain('countersign_handlers_running{class="export"} 0')
  })
})

describe('kafkajs', () => {
  it('takes the handlers as they are', () => {
    const { enforcer } = stand()
    type Run = NonNullable<Parameters<Consumer['run']>[0]>
    // The compiler is the test: both fit the published types of `consumer.run`.
    const each: Run = { eachMessage: enforcer.eachMessage('export', () => {}) }
    const batch: Run = {
      eachBatch: enforcer.eachBatch('export', () => {}, { concurrency: 4 }),
      eachBatchAutoResolve: false,
    }
    expect([each.eachMessage, batch.eachBatch].every((f) => typeof f === 'function')).toBe(true)
  })
})

describe('the table of outcomes', () => {
  it('has a state for every fault of opening', () => {
    expect(Object.keys(FAULT_OUTCOMES)).toHaveLength(28)
    expect(new Set(Object.values(FAULT_OUTCOMES))).toEqual(new Set(['denied', 'dead_lettered']))
  })
})
