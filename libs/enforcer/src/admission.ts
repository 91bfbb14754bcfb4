/**
 * Judges one message: header, freshness, opening, position, rules, payload. Synchronous, so that nothing
 * can happen between the verdict and what is done on its account.
 */
import {
  type EnvelopeFault,
  evidenceOf,
  type KeyRing,
  type OpenContext,
  type OpenedEnvelope,
  type Opener,
  type OpenResult,
  windowEnd,
} from '@countersign/envelope'
import {
  type Allow,
  type Decision,
  type FreshnessReason,
  type JobClassRules,
  notFresh,
  type Phase,
  type ViewFreshness,
} from '@countersign/policy'
import { type Codec, type JobTopicNames, unframe } from '@countersign/schemas'
import { type ConsumerView, viewOfTenant } from './consumer-view.ts'
import { decideNow, judgementOf } from './deciding.ts'
import { miswired } from './errors.ts'
import type { Item } from './item.ts'
import { LogsByTenant } from './logs-by-tenant.ts'
import type { Settings } from './options.ts'
import { faultSettlement, type Refused, type Settlement, workSettlement } from './outcomes.ts'

/** Null: run it. `wait`: ask again later, park with this when it takes too long. */
export type Verdict = { readonly wait: boolean; readonly settlement: Settlement } | null

export class Admission {
  readonly rules: JobClassRules
  readonly topic: JobTopicNames
  readonly #settings: Settings
  readonly #opener: Opener
  /** Null with one log. */
  readonly #logs: LogsByTenant | null
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
    const { byTenant } = settings.replica
    this.#logs = byTenant ? new LogsByTenant(byTenant, opener) : null
    this.#codec = codec
  }

  /** Judges work about to start; on null the item has its payload and the scopes that are left. */
  judge(item: Item): Verdict {
    return this.authorise(item) ?? this.unreadable(item)
  }

  /** All of `judge` but the payload, which is not looked into. */
  authorise(item: Item): Verdict {
    if (item.headerFault) return { wait: false, settlement: item.headerFault }
    return this.#logs === null || item.view !== null
      ? this.#judgeBy(item.view ?? this.#settings.replica, item)
      : this.#findLog(this.#logs, item)
  }

  /** Which log owns its tenant only the envelope says, and only once a key of some log has opened it. */
  #findLog(logs: LogsByTenant, item: Item): Verdict {
    let refused: Verdict = null
    const now = this.#settings.clock.now()
    for (const view of logs.views) {
      const ring = view.ring()
      if (ring === null) continue
      const result = logs.openerOf(view).open(item.header as Buffer, this.#context(item, ring, now))
      if (result.ok) {
        // It counts once the owner's own keys have opened it, under a view that is fresh.
        const owner = logs.viewOf(result.envelope.claims.tctx.tenant)
        return this.#judgeBy(owner, item, owner === view ? result : undefined, now)
      }
      if (result.code !== 'envelope_key_unknown') refused ??= { wait: false, settlement: faultSettlement(result.code) }
    }
    // Its key may be one that a log has and this consumer does not know yet.
    const behind = logs.views.find((view) => view.ring() === null || notFresh(this.rules, view.freshness()) !== null)
    if (behind) {
      noteJudged(item, behind, behind.freshness(), now)
      item.viewOffset = behind.position().offset
      return this.#notFresh(behind, 'view_not_proven')
    }
    return refused ?? { wait: false, settlement: faultSettlement('envelope_key_unknown') }
  }

  /** @param view of the log that owns its tenant. @param found opened just now under that view's keys. */
  #judgeBy(view: ConsumerView, item: Item, found?: OpenResult, now = this.#settings.clock.now()): Verdict {
    const freshness = view.freshness()
    const { offset } = view.position()
    const ring = view.ring()
    noteJudged(item, view, freshness, now)
    if (item.allowedBy === view.view && item.viewOffset === offset && item.ring === ring && this.#stillAllowed(item)) {
      return null
    }
    item.viewOffset = offset
    item.allowedBy = null
    if (ring === null || ring !== item.ring || now >= item.windowEnd) {
      // Keys come over the log as well: a view that is not fresh may lack the key, or still trust one that is gone.
      const reason = ring === null ? 'view_not_proven' : notFresh(this.rules, freshness)
      if (ring === null || reason !== null) return this.#notFresh(view, reason ?? 'view_not_proven')
      const opener = this.#logs?.openerOf(view) ?? this.#opener
      const result = found ?? opener.open(item.header as Buffer, this.#context(item, ring, now))
      if (!result.ok) return { wait: false, settlement: faultSettlement(result.code) }
      item.opened = result.envelope
      item.ring = ring
      item.windowEnd = windowEnd(result.envelope, ring, this.#settings.epsilonMs)
      item.view = view
    }
    const decision = decideNow(this.#settings, this.rules, item.opened as OpenedEnvelope, 'queued', freshness, now)
    if (decision.outcome === 'allow') {
      item.scopes = decision.scopes
      item.allowedBy = view.view
      return null
    }
    const { outcome, reason, rule, detail } = decision
    if (outcome === 'deny') return { wait: false, settlement: { outcome: 'denied', reason, rule, detail } }
    const wait = outcome === 'wait' && (reason === 'view_behind' || this.#mayWait(view))
    return { wait, settlement: { outcome: 'parked', reason, rule, detail } }
  }

  /** While nothing has been folded since a view allowed it, only time can have changed the verdict. */
  #stillAllowed({ opened, freshness, judgedAt, windowEnd: end }: Item): boolean {
    if (opened === null || freshness === null) return false
    return notFresh(this.rules, freshness) === null && judgedAt < Math.min(opened.claims.exp, end)
  }

  #context(item: Item, ring: KeyRing, now: number): OpenContext {
    const { epsilonMs } = this.#settings
    const { key, value, headers } = item.message
    const { topic, rules } = this
    return { ring, now, epsilonMs, audience: topic.audience, topic: rules.topic, key, value, headers }
  }

  #notFresh(view: ConsumerView, reason: FreshnessReason): Verdict {
    const detail = view.freshness().closed
    const rule = reason === 'store_unseen' ? 'store_unseen_budget' : 'staleness_budget'
    const settlement = { outcome: 'parked', reason, rule, detail } as const
    return { wait: this.rules.whenNotFresh === 'wait' && this.#mayWait(view), settlement }
  }

  /** What waits for a log holds up whatever stands behind it: not for long where that is work of logs that are fresh. */
  #mayWait(view: ConsumerView): boolean {
    if (this.#logs === null) return true
    const { stalenessBudgetMs, maxWaitMs } = this.rules
    const isFresh = (other: ConsumerView): boolean => notFresh(this.rules, other.freshness()) === null
    return view.freshness().ageMs <= stalenessBudgetMs + maxWaitMs || !this.#logs.views.some(isFresh)
  }

  /** The bare decision on an opened item, now; a refusal says what it was decided by. */
  decide(item: Item, phase: Phase): Allow | Refused {
    const { opened } = item
    if (opened === null) throw new TypeError('only an opened envelope can be decided')
    const { replica, clock } = this.#settings
    const view = viewOfTenant(replica, opened.claims.tctx.tenant)
    const freshness = view.freshness()
    const now = clock.now()
    const fault = phase === 'running' ? this.#faultNow(item, opened, view, now) : null
    const decision: Decision =
      fault === null
        ? decideNow(this.#settings, this.rules, opened, phase, freshness, now)
        : { outcome: 'deny', reason: 'key_withdrawn', rule: 'trust_bundle', asOf: freshness.asOf, detail: fault }
    return decision.outcome === 'allow' ? decision : { ...decision, by: judgementOf(view, freshness, now) }
  }

  /**
   * Why running work would open no more under the keys now in force. Within its own time: neither that this is over nor a
   * clock that was stepped back since ends it.
   */
  #faultNow(item: Item, opened: OpenedEnvelope, view: ConsumerView, now: number): EnvelopeFault | null {
    const ring = view.ring()
    if (ring === null || ring === item.ring || ring === item.runsUnder || item.header === null) return null
    const { epsilonMs } = this.#settings
    const opener = this.#logs?.openerOf(view) ?? this.#opener
    const relied = opened.relied.length === 0 ? [] : (evidenceOf(item.message.headers) ?? [])
    const { iat, exp } = opened.claims
    const within = Math.min(Math.max(now, iat), exp - 1)
    for (const header of [item.header, ...relied]) {
      const result = opener.prove(header, { ring, now: within, epsilonMs })
      if (!result.ok && result.code !== 'envelope_expired') return result.code
    }
    item.runsUnder = ring
    return null
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

function noteJudged(item: Item, view: ConsumerView, freshness: ViewFreshness, now: number): void {
  item.judgedBy = view
  item.freshness = freshness
  item.judgedAt = now
  item.bundleVersion = view.ring()?.bundle.version ?? 0
}
