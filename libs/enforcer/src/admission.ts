/**
 * Judges one message: header, freshness, opening, position, rules, payload. Synchronous, so that nothing
 * can happen between the verdict and what is done on its account.
 */
import type { Opener } from '@countersign/envelope'
import { type Decision, decide, type JobClassRules, notFresh, type Phase } from '@countersign/policy'
import { type Codec, type JobTopicNames, unframe } from '@countersign/schemas'
import { miswired } from './errors.ts'
import type { Item } from './item.ts'
import type { Settings } from './options.ts'
import { faultSettlement, type Settlement, workSettlement } from './outcomes.ts'

/** Null: run it. `wait`: ask again later, park with this when it takes too long. */
export type Verdict = { readonly wait: boolean; readonly settlement: Settlement } | null

export class Admission {
  readonly rules: JobClassRules
  readonly topic: JobTopicNames
  readonly #settings: Settings
  readonly #opener: Opener
  readonly #codec: Codec<unknown>

  /** @throws {ENFORCER_TOPIC_UNKNOWN} when the catalogue does not have the topic of the class, or its payload. */
  constructor(settings: Settings, rules: JobClassRules, opener: Opener) {
    const topic = settings.catalogue.jobTopic(rules.topic)
    const codec = topic && settings.catalogue.payloadCodec(topic.schema)
    if (!topic || !codec) {
      throw miswired(
        'ENFORCER_TOPIC_UNKNOWN',
        `class ${rules.name}: ${rules.topic} is not a job topic of the catalogue`,
      )
    }
    this.rules = rules
    this.topic = topic
    this.#settings = settings
    this.#opener = opener
    this.#codec = codec
  }

  /** Judges work about to start; on null the item has its payload and the scopes that are left. */
  judge(item: Item): Verdict {
    return this.authorise(item) ?? this.unreadable(item)
  }

  /** All of `judge` but the payload, which is not looked into. */
  authorise(item: Item): Verdict {
    if (item.headerFault) return { wait: false, settlement: item.headerFault }
    const { replica, clock, epsilonMs } = this.#settings
    const freshness = replica.freshness()
    item.freshness = freshness
    item.viewOffset = replica.position().offset
    const ring = replica.ring()
    if (ring === null || ring !== item.ring) {
      // Keys come over the log as well: a view that is not fresh may lack the key, or still trust one that is gone.
      const reason = ring === null ? 'view_not_proven' : notFresh(this.rules, freshness)
      if (ring === null || reason !== null) {
        const settlement = {
          outcome: 'parked',
          reason: reason ?? 'view_not_proven',
          rule: 'staleness_budget',
          detail: freshness.closed,
        } as const
        return { wait: this.rules.whenNotFresh === 'wait', settlement }
      }
      const { key, value } = item.message
      const event = { topic: this.rules.topic, key, value }
      const context = { ring, now: clock.now(), epsilonMs, audience: this.topic.audience, ...event }
      const result = this.#opener.open(item.header as Buffer, context)
      if (!result.ok) return { wait: false, settlement: faultSettlement(result.code) }
      item.opened = result.envelope
      item.ring = ring
    }
    const decision = this.decide(item, 'queued')
    if (decision.outcome === 'allow') {
      item.scopes = decision.scopes
      return null
    }
    const { outcome, reason, rule, detail } = decision
    if (outcome === 'deny') return { wait: false, settlement: { outcome: 'denied', reason, rule, detail } }
    return { wait: outcome === 'wait', settlement: { outcome: 'parked', reason, rule, detail } }
  }

  /** The bare decision on an opened item, now. */
  decide(item: Item, phase: Phase): Decision {
    const { replica, clock, epsilonMs } = this.#settings
    const envelope = item.opened
    if (envelope === null) throw new TypeError('only an opened envelope can be decided')
    const { iat, tctx } = envelope.claims
    return decide({
      rules: this.rules,
      envelope,
      view: replica,
      freshness: replica.freshness(),
      reached: phase === 'queued' ? replica.reached(tctx.position, iat) : 'reached',
      now: clock.now(),
      epsilonMs,
      phase,
    })
  }

  /** Decodes the payload, once. @returns whether it could be read. */
  decode(item: Item): boolean {
    if (item.decoded) return item.value !== undefined
    item.decoded = true
    const framed = unframe(item.message.value)
    if (framed === undefined || this.#settings.log.schemas.schemaOf(framed.id)?.name !== this.topic.schema) return false
    try {
      item.value = this.#codec.decode(framed.body)
      return true
    } catch {
      return false
    }
  }

  /** @returns the dead letter of a payload that cannot be read, or null; afterwards the item has its value. */
  unreadable(item: Item): Verdict {
    if (this.decode(item)) return null
    return { wait: false, settlement: workSettlement('payload_unreadable', 'payload', null) }
  }

  /** @returns the object acted upon, or null when the class names none or the payload does not tell. */
  objectOf(item: Item): string | null {
    const field = this.rules.object
    if (field === null || (item.opened === null && !item.decoded) || !this.decode(item)) return null
    const object = (item.value as Record<string, unknown>)[field]
    return typeof object === 'string' ? object.slice(0, 256) : typeof object === 'number' ? String(object) : null
  }
}
