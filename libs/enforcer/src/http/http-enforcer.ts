/**
 * The same decisions for HTTP: a Txn-Token instead of an envelope, an answer instead of a park topic. Nothing waits: a
 * view that is not fresh is answered 503. Invariant: between the verdict and the call of the handler nothing is awaited,
 * but where an ownership hook is asked, after which the request is judged again.
 */
import type { Journey } from '@countersign/journey'
import type { Clock } from '@countersign/kernel'
import { type Decision, type JobClassRules, notFresh, type Phase } from '@countersign/policy'
import type { Logger, Metrics } from '@countersign/telemetry'
import type { RefusalAnswer } from '@countersign/tokens'
import { type ConsumerView, viewOfTenant } from '../consumer-view.ts'
import { decideNow } from '../deciding.ts'
import type { CommitIfAllowed } from '../effects.ts'
import { miswired } from '../errors.ts'
import type { EffectNote, Judge, Judged } from '../judged.ts'
import { Meters } from '../meters.ts'
import { type Recheck, recheck } from '../recheck.ts'
import { register } from '../registering.ts'
import { type Run, RunningWork } from '../running.ts'
import { type Identity, identityOf, UNVERIFIED } from '../work.ts'
import { answerTo, type RequestReason } from './answers.ts'
import { Recording } from './recording.ts'
import { type HttpRequest, takeToken } from './request.ts'
import { type OpenedToken, type TokenReason, type TxnTokenRules, TxnTokens } from './txn-token.ts'

export interface HttpEnforcerOptions {
  /** The view this process keeps; a `Replica` is one. */
  readonly replica: ConsumerView
  readonly clock: Clock
  readonly logger: Logger
  /** From `defineJobClass`; names distinct. `topic`, waits, attempts and `audit` say nothing here. */
  readonly classes: readonly JobClassRules[]
  readonly txnTokens: TxnTokenRules
  readonly metrics?: Metrics
  /** Where refused requests are written down, beside the logger. */
  readonly journey?: Pick<Journey, 'enforcement'>
  /** Steps of the journey also for requests that are let through. @defaultValue false */
  readonly recordAllowed?: boolean
  /** Skew tolerance ε, milliseconds. @defaultValue 250 */
  readonly epsilonMs?: number
}

/** What a handler of a request is given: `request.work`. */
export interface HttpWork {
  /** As a job's: who it is for, and the scopes left. */
  readonly identity: Identity
  /** Aborts when the authority ends while the request is answered, or the time of its class is up. */
  readonly signal: AbortSignal
  readonly correlationId: string | null
  /** What the token says is asked for (`tctx`); empty when it does not say. */
  readonly details: Readonly<Record<string, unknown>>
  /** Judges again, now. */
  recheck(): Recheck
  /** As a job's. What it throws has the status a framework answers with. */
  readonly commitIfAllowed: CommitIfAllowed
  /** For classes with `effect: 'rechecked'`: there is nothing to commit. */
  noEffect(): void
}

/** @returns whether the object belongs to who asks. Throwing fails the request. */
export type Owns = (identity: Identity) => boolean | Promise<boolean>

export type HttpVerdict =
  /** `end`: to be called when the request has been answered. */
  | { readonly ok: true; readonly work: HttpWork; readonly end: (status: number) => void }
  | { readonly ok: false; readonly reason: RequestReason; readonly answer: RefusalAnswer }

export interface HttpEnforcer {
  /**
   * Takes the Txn-Token off a request and judges it under a class. Cost: about 0.12 ms, most of it one signature.
   * @param requestId shown to who is refused. @param owns asked last.
   * @throws {ENFORCER_CLASS_UNKNOWN}
   */
  judge(jobClass: string, request: HttpRequest, requestId?: string, owns?: Owns): Promise<HttpVerdict>
  /** @throws {ENFORCER_CLASS_UNKNOWN} when there is no such class: for whoever composes routes. */
  knows(jobClass: string): void
  /** Tells every request under way to end, and follows the view no longer. */
  stop(): void
}

/** Why a request may not go on, or null. */
type Refused = { readonly reason: RequestReason; readonly rule: string; readonly detail: string | null } | null

class Request implements Judged {
  readonly opened: Judged['opened']
  readonly token: OpenedToken | null
  observed: { readonly reason: string } | null = null
  effects: EffectNote | null = null
  scopes: readonly string[] = []

  constructor(token: OpenedToken | null) {
    this.token = token
    this.opened = token?.envelope ?? null
  }
}

/**
 * @throws {ENFORCER_CLASS_REPEATED} when two classes share a name.
 * @throws {ENFORCER_TOKENS_INVALID} for no trust domain, or an issuer of something else.
 */
export function createHttpEnforcer(options: HttpEnforcerOptions): HttpEnforcer {
  const { replica, clock, logger, metrics, journey, epsilonMs = 250, recordAllowed = false } = options
  const { trustDomain } = options.txnTokens
  const deciding = { replica, clock, epsilonMs }
  const tokens = new TxnTokens(options.txnTokens, clock, epsilonMs)
  const recording = new Recording({ logger, clock, metrics, journey, all: recordAllowed, audience: trustDomain })
  // Nobody waits for a handler here: it has ended when it has answered.
  const running = new RunningWork({ clock, endWithinMs: 0 })
  const classes = new Map<string, { readonly judge: Judge; readonly meters: Meters }>()
  for (const rules of options.classes) {
    if (classes.has(rules.name)) throw miswired('ENFORCER_CLASS_REPEATED', `class ${rules.name} is given twice`)
    const decide = ({ opened }: Pick<Judged, 'opened'>, phase: Phase): Decision => {
      if (opened === null) throw new TypeError('only an opened token can be decided')
      return decideNow(deciding, rules, opened, phase)
    }
    classes.set(rules.name, { judge: { rules, decide }, meters: new Meters(metrics, rules.name) })
  }
  register(replica, options.classes, epsilonMs)
  const offSignal = replica.onSignal(() => running.viewChanged())
  const offCheckpoint = replica.onCheckpoint(() => running.viewChanged())
  const views = (): readonly ConsumerView[] => replica.byTenant?.views ?? [replica]

  function classOf(name: string): { readonly judge: Judge; readonly meters: Meters } {
    const found = classes.get(name)
    if (!found) throw miswired('ENFORCER_CLASS_UNKNOWN', `${name} is no class`)
    return found
  }

  async function open(rules: JobClassRules, token: string): Promise<OpenedToken | Refused> {
    let unknown: TokenReason = 'txn_token_key_unknown'
    for (const view of views()) {
      const ring = view.ring()
      if (ring === null) continue
      const result = tokens.openBy(ring, token)
      if (result.ok) {
        const owner = viewOfTenant(replica, result.opened.envelope.claims.tctx.tenant)
        if (owner === view) return result.opened
        const own = owner.ring()
        const again = own && tokens.openBy(own, token)
        return again?.ok ? again.opened : refusedToken('txn_token_key_tenant')
      }
      if (result.code !== 'txn_token_key_unknown') unknown = result.code
    }
    if (unknown === 'txn_token_key_unknown' || unknown === 'txn_token_header_refused') {
      const result = await tokens.openByIssuer(token)
      if (result.ok) return result.opened
      if (result.code !== 'txn_token_key_unknown') unknown = result.code
    }
    // Keys come over the log: a view that is not fresh may lack the one it needs.
    for (const view of views()) {
      const stale = staleness(rules, view)
      if (stale) return stale
    }
    return refusedToken(unknown)
  }

  function decideRequest(request: Request, judge: Judge): Refused {
    if (request.opened === null) return null
    const view = viewOfTenant(replica, request.opened.claims.tctx.tenant)
    const bundle = view.ring()?.bundle
    // Floors older than the window are gone from every view, so what may have been sealed before one is as well.
    const oldest = bundle ? clock.now() - bundle.window_ms + bundle.max_staleness_ms + epsilonMs : 0
    if (request.opened.claims.iat <= oldest) return refusedToken('txn_token_expired')
    const decision = judge.decide(request, 'queued')
    if (decision.outcome !== 'allow') return decision
    request.scopes = decision.scopes
    return null
  }

  function admit(request: Request, found: { judge: Judge; meters: Meters }, told: ToldRequest): HttpVerdict {
    const { judge, meters } = found
    const run = running.begin(request, judge)
    const parts = { settings: { replica, clock, logger }, meters }
    const end = (status: number): void => {
      if (run.over) return
      running.end(run)
      for (const ended of endings(run, status)) recording.tell({ ...told, outcome: 'ended', ...ended })
    }
    return { ok: true, work: workOf(request, run, (commit) => run.effects.commit(parts, run, commit)), end }
  }

  return {
    knows: (name) => void classOf(name),
    async judge(name, http, requestId, owns) {
      const found = classOf(name)
      const { rules } = found.judge
      const began = clock.monotonic()
      const token = takeToken(http)
      const taken = token !== 'txn_token_missing' && token !== 'txn_token_repeated'
      const opened = taken ? await open(rules, token) : refusedToken(token)
      const isOpen = opened !== null && 'envelope' in opened
      const request = new Request(isOpen ? opened : null)
      let refused: Refused = isOpen ? decideRequest(request, found.judge) : opened
      if (refused === null && owns) {
        refused = (await owns(identity(request))) ? decideRequest(request, found.judge) : NOT_OWNED
      }
      const told = { rules, opened: request.token, requestId, began, ...(refused ?? ALLOWED) }
      recording.tell({ ...told, outcome: refused === null ? 'allowed' : rules.observe ? 'observed' : 'refused' })
      if (refused === null) return admit(request, found, told)
      if (!rules.observe) {
        return { ok: false, reason: refused.reason, answer: answerTo(refused.reason, rules, requestId) }
      }
      request.scopes = request.opened?.scopes ?? []
      request.observed = refused
      return admit(request, found, told)
    },
    stop() {
      offSignal()
      offCheckpoint()
      running.stopAll()
    },
  }
}

interface ToldRequest {
  readonly rules: JobClassRules
  readonly opened: OpenedToken | null
  readonly requestId: string | undefined
  readonly began: number
  readonly reason: string
  readonly rule: string
  readonly detail: string | null
}

const ALLOWED = { reason: 'allowed', rule: 'allow', detail: null }
const NOT_OWNED: Refused = { reason: 'object_not_owned', rule: 'ownership', detail: null }

function refusedToken(reason: TokenReason): NonNullable<Refused> {
  return { reason, rule: 'token', detail: null }
}

function staleness(rules: JobClassRules, view: ConsumerView): Refused {
  const freshness = view.freshness()
  const reason = notFresh(rules, freshness)
  return reason && { reason, rule: 'staleness_budget', detail: freshness.closed }
}

function identity({ opened, scopes }: Request): Identity {
  return opened === null ? UNVERIFIED : identityOf(opened, scopes)
}

/** What came of a request after it was let in. */
function* endings(run: Run, status: number): Generator<{ reason: string; rule: string; detail: string | null }> {
  const { revoked, refused, judge } = run
  if (refused) yield refused
  else if (revoked) yield { reason: revoked.reason, rule: revoked.rule, detail: revoked.detail }
  else if (judge.rules.effect === 'rechecked' && !run.checked && status < 400) {
    yield { reason: 'effect_unchecked', rule: 'effect', detail: null }
  }
}

function workOf(request: Request, run: Run, commitIfAllowed: CommitIfAllowed): HttpWork {
  return {
    identity: identity(request),
    get signal() {
      return run.signal
    },
    correlationId: request.token?.correlationId ?? null,
    details: request.token?.details ?? {},
    recheck: () => recheck(run),
    commitIfAllowed,
    noEffect: () => run.effects.nothing(run),
  }
}
