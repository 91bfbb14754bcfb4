/**
 * Ends and lowers authority. The only caller of the store's ending step: whatever path is taken, the
 * change, its floors and its signed rows are one step, and the answer is one of four.
 */
import type { Journey, JourneyEvent } from '@countersign/journey'
import type { Clock, Millis } from '@countersign/kernel'
import { REASONS, reasonOf, type Target } from '@countersign/revocation'
import {
  type Change,
  type Ending,
  type Revocation,
  type SessionStore,
  SessionStoreError,
} from '@countersign/session-store'
import type { Logger, Metrics } from '@countersign/telemetry'
import { type Answer, answerOf, idText } from './answers.ts'
import { type EndingFacts, type EndingPath, type RaisesOf, raisesOf } from './endings.ts'
import type { Delivery } from './log/outbox.ts'
import { highestFloor, type OwnView } from './log/own-view.ts'

/** One run of an ending path. */
export interface EndingRun {
  /** 16 bytes, chosen before the first attempt. */
  readonly id: Buffer
  /** See `requestDigest`. */
  readonly request: Buffer
  readonly initiator: string
  /** Tenant whose administrators may read the answer, null for operators alone. */
  readonly tenant: string | null
  /** Whose authority ends, for the journey, where the target does not say. */
  readonly sub?: string
  readonly change: Change
  readonly facts: Omit<EndingFacts, 'atLeast'>
  /** Hit by the same run besides the target of `facts`. */
  readonly others?: readonly Target[]
  /** Told in the signal; default the path's name. */
  readonly cause?: string
  readonly requestId?: string
}

export interface AuthorityOptions {
  readonly store: SessionStore
  readonly view: OwnView
  readonly delivery: Pick<Delivery, 'settled' | 'kick'>
  readonly clock: Clock
  readonly logger: Logger
  readonly metrics: Metrics
  readonly journey: Journey
  /** How long an answer waits for the log before it says pending. */
  readonly ackDeadlineMs: Millis
  /** Takes back what a rolled-back store lost; called when the store says it is behind the log. */
  readonly repair: () => Promise<void>
  /** Default: the table of ending paths. */
  readonly raisesOf?: RaisesOf
}

export class Authority {
  readonly #options: AuthorityOptions

  constructor(options: AuthorityOptions) {
    this.#options = options
  }

  /** Runs one ending path. Never throws for a store or log that is away: that is an answer. */
  async end(path: EndingPath, run: EndingRun): Promise<Answer> {
    const { clock } = this.#options
    const began = clock.monotonic()
    const answer = await this.#answer(path, run)
    this.#tell(path, run, answer, clock.monotonic() - began)
    return answer
  }

  /** Notes a run whose step was part of a larger one. */
  tell(path: EndingPath, run: EndingRun, revocation: Revocation): void {
    this.#tell(path, run, answerOf(revocation), 0)
  }

  /** @returns where a revocation stands now, null when the id was never used. @throws {SESSION_STORE_UNAVAILABLE}. */
  async status(id: Buffer): Promise<Revocation | null> {
    return this.#options.store.revocation(id)
  }

  /** The step of a path, to be part of a larger one. */
  step(path: EndingPath, run: EndingRun): Ending {
    const { view, clock, raisesOf: raised = raisesOf } = this.#options
    const { id, request, initiator, tenant, change, facts, others = [] } = run
    const raises = [facts.target, ...others].flatMap((target) =>
      raised(path, { ...facts, target, atLeast: Math.max(highestFloor(view, target), (facts.version ?? -1) + 1) }),
    )
    const cause = run.cause ?? path
    return { id, request, cause, initiator, tenant, now: clock.now(), change, raises, seenSeq: view.outboxSeq }
  }

  #tell(path: EndingPath, run: EndingRun, answer: Answer, latencyMs: number): void {
    const { metrics, journey } = this.#options
    const { target, effect } = run.facts
    const event = {
      actor: run.initiator,
      tenant: run.tenant,
      cause: run.cause ?? path,
      ...(run.sub === undefined ? {} : { sub: run.sub }),
      ...about(target),
      ...(effect === undefined ? {} : { effect }),
      ...(run.requestId === undefined ? {} : { requestId: run.requestId }),
      revocation: answer.id,
      outcome: answer.state === 'refused' ? answer.code : answer.state,
      latencyMs,
    }
    if (path === 'logout') journey.logout(event)
    else journey.revocation(event)
    const reason = reasonLabel(path, effect)
    metrics.counter('countersign_revocations_total', { answer: answer.state, reason }).add()
    metrics.observe('countersign_revocation_seconds', { reason }, latencyMs / 1000)
  }

  async #answer(path: EndingPath, run: EndingRun): Promise<Answer> {
    const { store, view, logger, repair } = this.#options
    const id = idText(run.id)
    // A rolled-back store would give sequences out again that the log has, and nobody could tell any more.
    if (!view.started) return { state: 'refused', id, code: 'view_starting' }
    try {
      let result = await store.end(this.step(path, run))
      if ('refused' in result && result.refused === 'store_behind_log') {
        await repair()
        result = await store.end(this.step(path, run))
      }
      if ('refused' in result) return { state: 'refused', id, code: result.refused }
      return await this.#delivered(result.revocation)
    } catch (error) {
      if (!(error instanceof SessionStoreError)) throw error
      logger.error({ error, cause: path, outcome: error.outcome }, 'the session store is away')
      return error.outcome === 'unknown'
        ? { state: 'unknown', id }
        : { state: 'refused', id, code: 'store_unavailable' }
    }
  }

  async #delivered(revocation: Revocation): Promise<Answer> {
    const { store, delivery, ackDeadlineMs } = this.#options
    if (revocation.state === 'acknowledged') return answerOf(revocation)
    await delivery.settled(revocation.seqs, ackDeadlineMs)
    // Committed already: whatever happens to this read, the rows are durable and will be delivered.
    const now = await store.revocation(revocation.id).catch(() => null)
    return answerOf(now ?? revocation)
  }
}

/** The target, and what of it journey events name apart. */
function about(
  target: Target,
): Pick<JourneyEvent, 'target' | 'sub' | 'session' | 'family' | 'token' | 'device' | 'client' | 'txn'> {
  const { kind, id } = target
  if (kind === 'subject' || kind === 'affiliation') return { target, sub: id }
  if (kind === 'tenant') return { target }
  if (kind === 'transaction') return { target, txn: id }
  return { target, [kind]: id }
}

/** What a path is counted under. Effects come from callers: only known ones become labels. */
export function reasonLabel(path: EndingPath, effect: string | undefined): string {
  if (path === 'role_change') return 'scope'
  if (effect === undefined) return path
  if (effect.startsWith('scope:')) return 'scope'
  const reason = reasonOf(effect)
  return reason !== null && REASONS.includes(reason) ? reason : 'other'
}
