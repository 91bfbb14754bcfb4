/**
 * Judges recorded work anew, under other job classes, by the enforcer that consumers run: as of the moment it was let
 * start or, where it was refused, of the refusal.
 */
import { createEnforcer, type Enforcer, FAULT_OUTCOMES, WORK_OUTCOMES } from '@countersign/enforcer'
import { headerOf, Opener } from '@countersign/envelope'
import type { EventLog, LogRecord } from '@countersign/event-log'
import { type Clock, systemClock, systemRandom } from '@countersign/kernel'
import { decide, type JobClassRules } from '@countersign/policy'
import type { Catalogue } from '@countersign/schemas'
import { silentLogger } from '@countersign/telemetry'
import type { Moment } from '../past/past.ts'
import type { Pasts } from '../past/pasts.ts'
import type { RecordedDecision, Verdict } from './recorded.ts'

export interface RejudgeOptions {
  readonly log: EventLog
  readonly catalogue: Catalogue
  readonly classes: readonly JobClassRules[]
  readonly past: Pasts
  readonly epsilonMs: number
}

const EXECUTED: Verdict = { outcome: 'executed', reason: 'allowed', rule: 'allow' }

export class Rejudge {
  readonly #options: RejudgeOptions
  readonly #rules: ReadonlyMap<string, JobClassRules>
  readonly #enforcer: Enforcer
  readonly #opener = new Opener()
  #moment: Moment = { logId: '', viewOffset: -1, asOf: 0, at: 0, closed: 'starting' }

  /** @throws {ENFORCER_TOPIC_UNKNOWN} for a class of a topic the catalogue does not have. */
  constructor(options: RejudgeOptions) {
    const { log, catalogue, classes, past, epsilonMs } = options
    this.#options = options
    this.#rules = new Map(classes.map((rules) => [rules.name, rules]))
    const now = (): ReturnType<Pasts['at']> => past.at(this.#moment)
    this.#enforcer = createEnforcer({
      replica: {
        floors: (key) => now().floors(key),
        freshness: () => now().freshness(),
        position: () => now().position(),
        reached: (position, iat) => now().reached(position, iat),
        ring: () => now().ring(),
        view: { digest: () => Buffer.alloc(32) },
        onSignal: () => () => {},
        onCheckpoint: () => () => {},
        waitUntil: async () => false,
      },
      log,
      catalogue,
      classes,
      clock: this.#clock(),
      random: systemRandom,
      consumer: 'policy-diff',
      epsilonMs,
      logger: silentLogger,
    })
  }

  /**
   * What would have become of it.
   * @returns the recorded state when nothing changes; `waits` for what ran at once and would have had to wait.
   */
  becomes(was: RecordedDecision, record: LogRecord): Verdict {
    const rules = this.#rules.get(was.jobClass) as JobClassRules
    const { reason } = was.state
    // Where rules are only observed, nothing but a payload nobody can read is kept from the handler.
    if (rules.observe) return reason === 'payload_unreadable' ? was.state : ran(was.state)
    return this.#enforced(was, record, rules)
  }

  #enforced(was: RecordedDecision, record: LogRecord, rules: JobClassRules): Verdict {
    const { state, admitted, final } = was
    const said = was.observed ?? state
    // What is wrong with an envelope is wrong under any rules.
    if (isFault(said.reason) || said.reason === 'position_other_log') return said
    const refused = this.#queued(rules.name, record, admitted ?? final)
    if (refused !== null) return admitted === null ? refused : hadToWait(refused, rules)
    if (isRunning(said)) return this.#goesOn(rules, record, final) ? ran(state) : { ...said, ...REVOKED }
    if (said.reason === 'allowed' || isWork(said.reason)) return said
    // Refused by the rules. Let start before, it was refused when its turn came.
    return (admitted && this.#queued(rules.name, record, final)) ?? ran(state)
  }

  #queued(jobClass: string, record: LogRecord, moment: Moment): Verdict | null {
    this.#moment = moment
    const { key, value } = record
    const { outcome, reason, rule } = this.#enforcer.probe(jobClass, { key, value, headers: headersOf(record) })
    return outcome === 'executed' ? null : { outcome, reason, rule }
  }

  /** Whether what ran might go on. */
  #goesOn(rules: JobClassRules, { key, value, headers }: LogRecord, moment: Moment): boolean {
    const { past, catalogue, epsilonMs } = this.#options
    const view = past.at(moment)
    const ring = view.ring()
    const found = headerOf(headers)
    const names = catalogue.jobTopic(rules.topic)
    if (ring === null || !found.ok || !names) return false
    const bytes = (one: Uint8Array | null): Buffer | null => one && Buffer.from(one)
    const event = { topic: rules.topic, key: bytes(key), value: bytes(value), audience: names.audience }
    const opened = this.#opener.open(found.bytes, { ...event, ring, now: moment.at, epsilonMs, headers })
    if (!opened.ok) return false
    const judged = { rules, envelope: opened.envelope, view, freshness: view.freshness(), epsilonMs, now: moment.at }
    return decide({ ...judged, reached: 'reached', phase: 'running' }).outcome !== 'deny'
  }

  #clock(): Clock {
    return { ...systemClock, now: () => this.#moment.at, monotonic: () => this.#moment.at }
  }
}

const REVOKED = { outcome: 'denied', reason: 'revoked_while_running' }

/** What ran at once would not have been parked at once where its class waits. */
function hadToWait(verdict: Verdict, { whenNotFresh }: JobClassRules): Verdict {
  const waits = whenNotFresh === 'wait' || verdict.reason === 'view_behind'
  return verdict.outcome === 'parked' && waits ? { ...verdict, outcome: 'waits' } : verdict
}

/** The state of work that is let run: what its handler came to, if it came to something. */
function ran(state: Verdict): Verdict {
  return HANDLERS.includes(state.reason) ? state : EXECUTED
}

const HANDLERS = ['handler_failed', 'handler_rejected']

function isRunning({ rule }: Verdict): boolean {
  return rule.startsWith('in_flight.running.') && !rule.endsWith('=finish')
}

function isFault(reason: string): boolean {
  return Object.hasOwn(FAULT_OUTCOMES, reason)
}

function isWork(reason: string): boolean {
  return Object.hasOwn(WORK_OUTCOMES, reason)
}

function headersOf({ headers }: LogRecord): Record<string, Uint8Array> {
  // Several of one name are a fault of the envelope, which no other policy changes: the last is as good as any.
  return Object.fromEntries(headers)
}
