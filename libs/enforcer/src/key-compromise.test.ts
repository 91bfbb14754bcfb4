/** A key that was given up: what it signed ends, queued or running, and what a bundle leaves out ends as well. */
import { derive, KeyRing, Opener, seal } from '@countersign/envelope'
import { NOW, testAuthority } from '@countersign/envelope/testing'
import type { JobMessage } from '@countersign/event-log'
import { ENVELOPE_HEADER } from '@countersign/schemas'
import { describe, expect, it } from 'vitest'
import { FakeBatch, type Stand, sealedMessage, stand } from './testing.ts'

const { ring, keys, bundle } = testAuthority(7)
const messages = (n: number): JobMessage[] => Array.from({ length: n }, (_, i) => sealedMessage(i))
const without = (keyId: string, version = 2): KeyRing =>
  new KeyRing({ ...bundle, version, keys: bundle.keys.filter(({ key_id }) => key_id !== keyId) })
const giveUp = (s: Stand, keyId: string, floor = NOW - 3_600_000): void =>
  s.view.raise(ring.key(keyId)?.target.key ?? Buffer.alloc(0), 'reason:compromise', floor)

/** Work of a derived envelope: signed with `der-1`, and its parent with `env-1`. */
function derivedMessage(offset: number): JobMessage {
  const message = sealedMessage(offset)
  const parent = message.headers?.[ENVELOPE_HEADER] as Buffer
  const context = { ring, now: NOW + 1, epsilonMs: 250 }
  const opened = new Opener().prove(parent, context)
  if (!opened.ok) throw new Error(opened.code)
  const { aud, scope, exp, event } = opened.envelope.claims
  const actor = { sub: 'svc', principal: 'service' } as const
  const child = { aud, scope, exp, iat: NOW + 1, reqWl: 'worker', actor, event }
  const claims = derive({ header: parent, envelope: opened.envelope }, child)
  const [header] = seal([claims], keys.derive)
  return { ...message, headers: { ...message.headers, [ENVELOPE_HEADER]: header } }
}

describe('a key that was given up', () => {
  it('ends what it signed and is queued, whatever times it wrote, and what was derived from that', async () => {
    for (const keyId of ['env-1', 'der-1']) {
      const s = stand()
      giveUp(s, keyId)
      const later = sealedMessage(1, { claims: { iat: NOW + 1_200, exp: NOW + 60_000 } })
      const batch = [sealedMessage(0), later, derivedMessage(2)]
      await s.enforcer.eachBatch('export', () => {})(new FakeBatch(batch))
      const denied = 'denied revoked_compromise'
      const others = keyId === 'env-1' ? denied : 'executed'
      expect(s.log.states()).toEqual({ 0: others, 1: others, 2: denied })
      const told = s.log.decisions('final')[0]?.exceptions.at(-1)
      expect(told).toMatchObject({ detail: `a key that signed it was given up at ${NOW - 3_600_000}` })
    }
  })

  it('ends what runs, in the middle of a backlog', async () => {
    const s = stand()
    const ran: number[] = []
    const done = s.enforcer.eachBatch('export', ({ event, signal }) => {
      ran.push(event.offset)
      return s.clock.sleep(60_000, signal)
    })(new FakeBatch(messages(3)))
    await s.clock.advance(100)
    giveUp(s, 'env-1')
    await s.clock.advance(100)
    await done
    expect(ran).toEqual([0])
    const rest = 'denied revoked_compromise'
    expect(s.log.states()).toEqual({ 0: 'denied revoked_while_running', 1: rest, 2: rest })
  })

  it('spares what others signed', async () => {
    const s = stand()
    giveUp(s, 'sig-1')
    await s.enforcer.eachBatch('export', () => {})(new FakeBatch(messages(1)))
    expect(s.log.states()).toEqual({ 0: 'executed' })
  })
})

describe('a key that the bundle in force leaves out', () => {
  const running = async (message: JobMessage, change: (s: Stand) => void) => {
    const s = stand()
    const refused: unknown[] = []
    const done = s.enforcer.eachBatch('export', async ({ signal, recheck, commitIfAllowed }) => {
      await s.clock.sleep(1_000, signal).catch(() => {})
      refused.push(recheck().reason)
      try {
        commitIfAllowed(() => refused.push('committed'))
      } catch (error) {
        refused.push((error as { code?: string }).code)
      }
      signal.throwIfAborted()
    })(new FakeBatch([message]))
    await s.clock.advance(100)
    change(s)
    s.view.checkpoint(41)
    await s.clock.advance(2_000)
    await done
    return { states: s.log.states(), refused, told: s.log.decisions('final')[0]?.exceptions[0] }
  }

  it('ends what runs under it', async () => {
    const { states, refused, told } = await running(sealedMessage(0), (s) => {
      s.view.keys = without('env-1')
    })
    expect(states).toEqual({ 0: 'denied revoked_while_running' })
    expect(refused).toEqual(['revoked_while_running', 'ENFORCER_EFFECT_REFUSED'])
    expect(told).toMatchObject({
      rule: 'trust_bundle',
      detail: 'key_withdrawn: envelope_key_unknown; the work was running; it may have had effects',
    })
  })

  it('ends what runs under a parent it signed', async () => {
    const { states, told } = await running(derivedMessage(0), (s) => {
      s.view.keys = without('env-1')
    })
    expect(states).toEqual({ 0: 'denied revoked_while_running' })
    expect(told?.detail).toContain('envelope_parent_invalid')
  })

  it('and a bundle that only comes anew ends nothing, not even what has outlived its envelope', async () => {
    const short = sealedMessage(0, { claims: { iat: NOW, exp: NOW + 1_050 } })
    const { states, refused } = await running(short, (s) => {
      s.view.keys = without('sig-1')
    })
    expect(states).toEqual({ 0: 'executed' })
    expect(refused).toEqual(['allowed', 'committed'])
  })

  it('and it ends nothing where the clock was stepped back meanwhile', async () => {
    const { states, refused } = await running(sealedMessage(0), (s) => {
      s.clock.step(-3_600_000)
      s.view.keys = without('sig-1')
    })
    expect(states).toEqual({ 0: 'executed' })
    expect(refused).toEqual(['allowed', 'committed'])
  })
})
