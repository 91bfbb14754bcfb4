/** Receipts of everything revoked lately, kept up with whatever comes on the topics; and one receipt, asked of a source. */
import type { SchemaIds } from '@countersign/event-log'
import { REGISTRATION_HOLDS_MS } from '@countersign/replica'
import { signalId } from '@countersign/schemas'
import type { DecisionEvidence, EvidenceSource, ProgressEvidence, SignalsEvidence } from '../source/index.ts'
import { Consumers, type Instance } from './consumers.ts'
import { LastDecisions } from './decided.ts'
import { appliedAt, boundOf, counts, judgeReceipt } from './judge.ts'
import type { Receipt } from './receipt.ts'
import { type StandingSignal, StandingSignals } from './standing.ts'

/** What receipts are made of. */
export type ReceiptEvidence = SignalsEvidence | ProgressEvidence | DecisionEvidence

export interface ReceiptsOptions {
  /** Of the log or archive the evidence comes from. */
  readonly schemas: Pick<SchemaIds, 'schemaOf'>
  /** Raw Ed25519 public keys, 32 bytes each; pinned. */
  readonly rootKeys: readonly Uint8Array[]
  /** Skew tolerance, milliseconds. @defaultValue 250 */
  readonly epsilonMs?: number
  /** Signals kept, the newest. @defaultValue 1000 */
  readonly keep?: number
  /** Registrations appended since then are all given, epoch milliseconds; before, some may be missing. @defaultValue 0: all are */
  readonly knownSince?: () => number
  /** Only of this revocation, a UUID. @defaultValue of all */
  readonly revocation?: string
}

/** How long after a signal stood on its log one consumer had it. */
export interface ConsumerExposure {
  readonly consumer: string
  readonly instance: string
  readonly log: string
  readonly offset: number
  /** Epoch milliseconds. */
  readonly appendedAt: number
  /** Milliseconds: until it applied it, or until its view was too old. */
  readonly ms: number
}

/** Most signals of one revocation that are looked for. */
const MAX_SIGNALS = 256

/** Folds evidence, oldest first within each topic; the topics in any order, but for bundles, which vouch for what follows. */
export class Receipts {
  readonly #signals: StandingSignals
  readonly #consumers: Consumers
  readonly #epsilonMs: number
  readonly #knownSince: () => number
  #givenSince = 0
  readonly #decided = new LastDecisions()

  constructor({ schemas, rootKeys, epsilonMs = 250, keep = 1_000, revocation, knownSince }: ReceiptsOptions) {
    this.#epsilonMs = epsilonMs
    this.#knownSince = knownSince ?? (() => 0)
    const wanted = revocation === undefined ? undefined : new Set(signalIdsOf(revocation))
    this.#signals = new StandingSignals({
      schemas,
      rootKeys,
      epsilonMs,
      keep,
      ...(wanted && { wanted: (id: string) => wanted.has(id) }),
    })
    this.#consumers = new Consumers({ schemas, rings: () => this.#signals.rings })
  }

  take(evidence: ReceiptEvidence): void {
    if (evidence.kind === 'decisions') this.#decided.take(evidence.batch, evidence.place.at)
    else if (evidence.kind === 'progress') this.#consumers.take(evidence.record)
    else if (this.#signals.take(evidence) !== null) {
      const oldest = this.#signals.all[0]?.at ?? evidence.place.at
      this.#consumers.forget(oldest - 2 * REGISTRATION_HOLDS_MS)
    }
  }

  /** Registrations that were appended before `at`, epoch milliseconds, may be missing. */
  knownOnlySince(at: number): void {
    this.#givenSince = Math.max(this.#givenSince, at)
  }

  /**
   * @param revocation a UUID, as identity answered. @param now epoch milliseconds.
   * @returns null while none of its signals stands on a log that was told here.
   */
  receipt(revocation: string, now: number): Receipt | null {
    const found = signalIdsOf(revocation).flatMap((id) => this.#signals.of(id))
    if (found.length === 0) return null
    const known = { knownSince: Math.max(this.#knownSince(), this.#givenSince), epsilonMs: this.#epsilonMs }
    return judgeReceipt(found, this.#consumers.all(), this.#decided, now, known)
  }

  /** The signals kept, oldest first; a revocation is asked for by the id of its first. */
  signals(): readonly StandingSignal[] {
    return this.#signals.all
  }

  /** Every instance that registered, in the order in which they did. */
  consumers(): readonly Instance[] {
    return this.#consumers.all()
  }

  /** Of every signal kept and every instance that counts and has it. Cost: their product. */
  exposures(): ConsumerExposure[] {
    return this.#signals.all.flatMap((signal) =>
      this.#consumers.all().flatMap((instance) => {
        const reached = counts(instance, signal) ? appliedAt(instance, signal) : null
        if (reached === null) return []
        const ms = Math.max(0, Math.min(reached.at, boundOf(instance, signal)) - signal.at)
        const { log, offset, at: appendedAt } = signal
        const shared = { instance: instance.instance, log, offset, appendedAt, ms }
        return [...instance.consumers].map((consumer) => ({ consumer, ...shared }))
      }),
    )
  }
}

export interface AskedReceipt extends Pick<ReceiptsOptions, 'rootKeys' | 'epsilonMs'> {
  /** Epoch milliseconds. */
  readonly now: number
  readonly signal?: AbortSignal
}

/** What had been decided before is asked for as well, this long; milliseconds. */
const DECIDED_BEFORE_MS = 60_000

/**
 * One receipt, as it stands now; as of when the source is complete, where that is earlier.
 * @param revocation a UUID, as identity answered.
 * @returns null when none of its signals is on a log. Cost: a scan of the signals logs, and of what came later on the others.
 */
export async function receiptOf(
  source: EvidenceSource,
  revocation: string,
  asked: AskedReceipt,
): Promise<Receipt | null> {
  const { signal } = asked
  // Before anything is read: a registration that came meanwhile may be missing, one that came before is not.
  const asOf = await source.asOf(signal && { signal })
  const receipts = new Receipts({ ...asked, schemas: source.schemas, revocation })
  const found = await gatherReceipts(source, receipts, asked)
  return found ? receipts.receipt(revocation, Math.min(asOf, asked.now)) : null
}

/**
 * Takes from a source all that receipts need of the signals `receipts` keeps.
 * @returns false when it keeps none.
 */
export async function gatherReceipts(
  source: EvidenceSource,
  receipts: Receipts,
  asked: { signal?: AbortSignal },
): Promise<boolean> {
  const { signal } = asked
  const until = signal && { signal }
  for await (const one of source.signals({ ...until })) receipts.take(one)
  const signals = receipts.signals()
  if (signals.length === 0) return false
  const first = Math.min(...signals.map(({ at }) => at))
  const from = first - 2 * REGISTRATION_HOLDS_MS
  let isWhole = false
  for await (const { place } of source.progress({ to: from, ...until })) {
    isWhole = place.at < from
    break
  }
  for await (const one of source.progress({ from, ...until })) {
    // Nothing is left of what was told before: the topic keeps less long than the log.
    if (!isWhole && one.place.offset > 0) receipts.knownOnlySince(one.place.at)
    isWhole = true
    receipts.take(one)
  }
  for await (const one of source.decisions({ from: first - DECIDED_BEFORE_MS, ...until })) receipts.take(one)
  return true
}

function signalIdsOf(revocation: string): string[] {
  const id = Buffer.from(revocation.replaceAll('-', ''), 'hex')
  return Array.from({ length: MAX_SIGNALS }, (_, i) => signalId(id, i).toString('hex'))
}
