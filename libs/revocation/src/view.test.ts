import { createHash } from 'node:crypto'
import { SeededRandom } from '@countersign/kernel/testing'
import { describe, expect, test } from 'vitest'
import type { SignalFacts } from './signals.ts'
import { target, targetKey } from './targets.ts'
import { NO_FLOORS, View } from './view.ts'

const position = { logId: 'log', offset: 41, epoch: 2, sequence: 7, bundleVersion: 3 }

function signal(id: string, floor: number, effect = 'reason:logout'): SignalFacts {
  return { key: targetKey(target('session', id)), effect, fallback: 'logout', floor }
}

function filled(entries: number): View {
  const view = new View({ random: new SeededRandom(1) })
  for (let i = 0; i < entries; i++) view.apply(signal(`s${i}`, 1_000 + i))
  return view
}

describe('floors', () => {
  test('are one shared frozen answer for a target nothing hits', () => {
    const view = filled(3)
    expect(view.floors(targetKey(target('session', 'other')))).toBe(NO_FLOORS)
    expect(Object.isFrozen(NO_FLOORS)).toBe(true)
  })

  test('keep the two highest of each effect; removed scopes add up', () => {
    const view = new View()
    for (const floor of [5, 9, 7, 9, 1]) view.apply(signal('s', floor))
    view.apply(signal('s', 8, 'scope:pay'))
    view.apply(signal('s', 6, 'scope:read'))
    expect(view.floors(signal('s', 1).key)).toEqual([
      { effect: 'reason:logout', fallback: 'logout', higher: 9, lower: 7 },
      { effect: 'scope:pay', fallback: 'logout', higher: 8, lower: 0 },
      { effect: 'scope:read', fallback: 'logout', higher: 6, lower: 0 },
    ])
  })

  test('are counted when the filter let them through for nothing', () => {
    const view = new View({
      filter: () => ({
        engine: 'always',
        capacity: 10,
        bound: 1,
        bytes: 0,
        add: () => {},
        has: () => true,
        clear: () => {},
      }),
    })
    expect(view.floors(signal('s', 1).key)).toBe(NO_FLOORS)
    expect(view.filterStats).toEqual({ engine: 'always', capacity: 0, added: 0, lookups: 1, falseHits: 1 })
  })
})

describe('dropOlderThan', () => {
  test('drops lower floors alone and refuses them from then on', () => {
    const view = new View()
    view.apply(signal('s', 5))
    view.apply(signal('s', 9))
    expect(view.dropOlderThan(9)).toBe(1)
    expect(view.floors(signal('s', 1).key)).toEqual([
      { effect: 'reason:logout', fallback: 'logout', higher: 9, lower: 0 },
    ])
    expect(view.apply(signal('s', 8))).toBe(false)
    expect(view.dropOlderThan(3)).toBe(0)
    expect(view.horizon).toBe(9)
    expect(view.dropOlderThan(10)).toBe(1)
    expect(view.count).toBe(0)
    expect(view.digestState()).toEqual(Buffer.alloc(2048))
  })

  test('gives memory back', () => {
    const view = filled(20_000)
    const full = view.bytes
    view.dropOlderThan(1_000 + 19_990)
    expect(view.size).toBe(10)
    expect(view.bytes).toBeLessThan(full / 3)
    expect(view.floors(signal('s19995', 1).key)).toHaveLength(1)
  })
})

describe('apply', () => {
  test('refuses by code what is not the facts of a signal', () => {
    const view = new View()
    const code = expect.objectContaining({ code: 'REVOCATION_SIGNAL_INVALID' })
    for (const floor of [0, -1, 1.5, 2 ** 48, Number.NaN]) expect(() => view.apply(signal('s', floor))).toThrow(code)
    expect(() => view.apply(signal('s', 1, ''))).toThrow(code)
    expect(() => view.apply({ ...signal('s', 1), key: Buffer.alloc(15) })).toThrow(code)
    expect(() => view.apply({ ...signal('s', 1), fallback: 'eclipse' as never })).toThrow(code)
    expect(view.count).toBe(0)
  })

  test('past the budget of memory refuses loudly, for good, and keeps what it has', () => {
    const view = new View({ maxBytes: 600_000 })
    const code = expect.objectContaining({ code: 'REVOCATION_BUDGET_EXCEEDED', retriable: false })
    let applied = 0
    expect(() => {
      for (; ; applied++) view.apply(signal(`s${applied}`, 1_000 + applied))
    }).toThrow(code)
    expect(view.bytes).toBeLessThanOrEqual(600_000)
    expect(view.exceeded).toBe(true)
    expect(view.size).toBe(applied)
    expect(view.floors(signal('s0', 1).key)).toHaveLength(1)
    view.dropOlderThan(1_000 + applied - 1)
    expect(view.exceeded).toBe(true)
    expect(view.clone().exceeded).toBe(true)
    expect(() => view.apply(signal('late', 999_999))).toThrow(code)
    expect(() => view.snapshot(position)).toThrow(expect.objectContaining({ code: 'REVOCATION_SNAPSHOT_INVALID' }))
  })

  test('takes what it needs in small steps, and never more than its budget while it grows', () => {
    const maxBytes = 4 * 2 ** 20
    const view = new View({ maxBytes, random: new SeededRandom(2) })
    const empty = view.bytes
    let [largest, before] = [0, empty]
    try {
      for (let n = 0; ; n++) {
        view.apply(signal(`s${n}`, 1_000 + n))
        largest = Math.max(largest, view.bytes - before)
        before = view.bytes
      }
    } catch {}
    // Nothing doubles on the way, so nearly all of the budget could be used.
    expect(view.bytes).toBeGreaterThan(maxBytes * 0.95)
    expect(view.bytes).toBeLessThanOrEqual(maxBytes)
    expect(largest).toBeLessThan(maxBytes * 0.03)
    expect(view.bytes / view.size).toBeLessThan(46)
  })

  test('frees the ids of effects no floor uses', () => {
    const view = new View()
    for (let i = 1; i < 5_000; i++) {
      view.apply(signal('s', i, `scope:${i}`))
      view.dropOlderThan(i)
    }
    expect(view.size).toBe(1)
    expect(view.bytes).toBeLessThan(new View().bytes + 200_000)
  })
})

describe('facts', () => {
  test('are refused when the view changes underneath', () => {
    const view = filled(3)
    const facts = view.facts()
    facts.next()
    view.apply(signal('new', 5))
    expect(() => facts.next()).toThrow(expect.objectContaining({ code: 'REVOCATION_SNAPSHOT_INVALID' }))
  })
})

describe('a snapshot', () => {
  const invalid = expect.objectContaining({ code: 'REVOCATION_SNAPSHOT_INVALID' })
  const view = filled(40)
  view.apply(signal('s1', 9_000, 'scope:pay'))
  view.apply(signal('s1', 9_900))
  view.dropOlderThan(1_005)
  const bytes = Buffer.concat([...view.snapshot({ ...position, attachment: Buffer.from('bundle') })])

  test('brings view, position and attachment back', () => {
    const restored = View.restore(bytes)
    expect(restored.position).toEqual({ ...position, attachment: Buffer.from('bundle') })
    expect(restored.view.digest()).toEqual(view.digest())
    expect(restored.view.horizon).toBe(1_005)
    expect([...restored.view.facts()]).toEqual([...view.facts()])
  })

  test('is refused with any byte changed', () => {
    for (let i = 0; i < bytes.length; i++) {
      const bad = Buffer.from(bytes)
      bad[i] = (bad[i] as number) ^ (1 << (i % 8))
      expect(() => View.restore(bad), `byte ${i}`).toThrow(invalid)
    }
  })

  test('is refused when cut anywhere or followed by anything', () => {
    for (let i = 0; i < bytes.length; i++) expect(() => View.restore(bytes.subarray(0, i)), `at ${i}`).toThrow(invalid)
    expect(() => View.restore(Buffer.concat([bytes, Buffer.of(0)]))).toThrow(invalid)
  })

  test('names what is wrong with it', () => {
    const what = (change: (copy: Buffer) => void) => {
      const copy = Buffer.from(bytes)
      change(copy)
      try {
        View.restore(copy)
      } catch (error) {
        return (error as { detail: { what: string } }).detail.what
      }
      return null
    }
    expect(what((b) => b.write('X', 0))).toBe('magic')
    expect(what((b) => b.writeUInt16BE(2, 8))).toBe('version')
    expect(what((b) => b.writeUInt16BE(0xfffe, 10))).toBe('byte order')
    expect(what((b) => b.fill(0, 200, 210))).toBe('checksum')
  })

  test('is not believed when its length is not that of its entries, checksum or not', () => {
    const body = Buffer.concat([bytes.subarray(0, -32), Buffer.alloc(32)])
    const forged = Buffer.concat([body, createHash('sha256').update(body).digest()])
    expect(() => View.restore(forged)).toThrow(expect.objectContaining({ detail: { what: 'length' } }))
  })

  test('is not believed when its floors do not give its digest, checksum or not', () => {
    const body = Buffer.from(bytes.subarray(0, -32))
    const last = body.length - 12 + 5
    body[last] = (body[last] as number) ^ 1
    const forged = Buffer.concat([body, createHash('sha256').update(body).digest()])
    expect(() => View.restore(forged)).toThrow(expect.objectContaining({ detail: { what: 'digest' } }))
  })

  test('is restored in steps', () => {
    const large = filled(3_000)
    const steps = View.restoring(Buffer.concat([...large.snapshot(position)]))
    expect(steps.next()).toEqual({ done: false, value: 1024 })
    expect(steps.next()).toEqual({ done: false, value: 2048 })
    expect(steps.next().done).toBe(true)
  })

  test('is refused by the writer when the view changes underneath', () => {
    const changing = filled(5_000)
    const chunks = changing.snapshot(position)
    chunks.next()
    chunks.next()
    changing.apply(signal('new', 5))
    expect(() => chunks.next()).toThrow(invalid)
  })

  test('comes in chunks', () => {
    const large = filled(9_000)
    const chunks = [...large.snapshot(position)]
    expect(chunks.length).toBe(5)
    for (const chunk of chunks) expect(chunk.length).toBeLessThanOrEqual(128 * 1024)
  })

  test('is refused past the budget', () => {
    const large = Buffer.concat([...filled(9_000).snapshot(position)])
    expect(() => View.restore(large, { maxBytes: 200_000 })).toThrow(
      expect.objectContaining({ code: 'REVOCATION_BUDGET_EXCEEDED' }),
    )
  })
})
