/**
 * Redriving copies whose envelopes are over. Invariant: nothing is decided here, and nothing runs under an envelope that is
 * not on the log: a copy is put behind the others under its successor, and decided when it comes round.
 */
import { headerOf, Opener } from '@countersign/envelope'
import { type EachMessagePayload, type EventLog, toHeaderPairs } from '@countersign/event-log'
import type { Clock } from '@countersign/kernel'
import { ENVELOPE_HEADER } from '@countersign/schemas'
import { type ConsumerView, viewOfTenant } from './consumer-view.ts'
import { batchInterrupted } from './errors.ts'
import type { Successors } from './successors.ts'

export interface RenewingOptions {
  readonly log: Pick<EventLog, 'append'>
  readonly replica: ConsumerView
  readonly successors: Successors
  readonly clock: Clock
  /** Skew tolerance ε, milliseconds. @defaultValue 250 */
  readonly epsilonMs?: number
}

/**
 * Around the handler of a consumer that redrives parked or dead-lettered copies. One whose envelope has expired is not
 * handed on, if identity gives a successor: the same copy under that is appended to the same topic. What identity refuses
 * is handed on, to be denied and recorded.
 *
 * @param handler as `enforcer.eachMessage` makes it.
 * @returns the same, for the same consumer. @throws {ENFORCER_BATCH_INTERRUPTED} when identity cannot tell: the copy comes again.
 */
export function renewing(
  options: RenewingOptions,
  handler: (payload: EachMessagePayload) => Promise<void>,
): (payload: EachMessagePayload) => Promise<void> {
  const opener = new Opener()
  /** By what they were fetched with, see `Group.fetch`: what follows one that was given back would resolve it, too. */
  const gaveBack = new WeakSet<object>()
  const handOn = async (payload: EachMessagePayload): Promise<void> => {
    const { message, pause } = payload
    const { offset } = message
    await handler(payload)
    if (message.offset !== offset) gaveBack.add(pause)
  }
  return async (payload) => {
    const { topic, partition, message, pause } = payload
    const { key, value, headers } = message
    const found = headerOf(headers)
    if (gaveBack.has(pause) || !found.ok || !isOver(opener, found.bytes, options)) return handOn(payload)
    const answer = await options.successors.succeed(found.bytes)
    if (!answer.ok && answer.retriable) throw batchInterrupted(`no successor can be had now: ${answer.code}`)
    if (!answer.ok) return handOn(payload)
    const renewed = Buffer.from(answer.envelope)
    if (isOver(opener, renewed, options) !== false) throw batchInterrupted('identity gave no successor')
    const kept = toHeaderPairs(headers).filter(([name]) => name !== ENVELOPE_HEADER)
    await options.log.append(topic, [{ key, value, headers: [...kept, [ENVELOPE_HEADER, renewed]], partition }])
  }
}

/** @returns null for what does not open: that is for the enforcer to say. */
function isOver(
  opener: Opener,
  envelope: Buffer,
  { replica, clock, epsilonMs = 250 }: RenewingOptions,
): boolean | null {
  const now = clock.now()
  for (const view of replica.byTenant?.views ?? [replica]) {
    const ring = view.ring()
    const opened = ring && opener.prove(envelope, { ring, now, epsilonMs })
    if (!opened?.ok || viewOfTenant(replica, opened.envelope.claims.tctx.tenant) !== view) continue
    return opened.envelope.claims.exp <= now
  }
  return null
}
