/** Earlier steps that a job relies on, judged before it is sealed: what no consumer would take is not sent. */
import { envelopeHash, type OpenedEnvelope, Opener } from '@countersign/envelope'
import type { Clock } from '@countersign/kernel'
import { targetKey } from '@countersign/revocation'
import type { LogPosition, TargetVersion } from '@countersign/schemas'
import type { Authority, Judged } from './authority.ts'
import { type Denial, denied } from './denial.ts'
import type { BoundaryIdentity } from './identity.ts'

/** What a job takes from the steps it relies on. */
export interface Reliance {
  readonly ok: true
  /** The workflow's transaction, in place of the request's own. */
  readonly txn: string
  /** The identity's, and the workflow's transaction: whoever ends it ends this step too. */
  readonly targets: readonly TargetVersion[]
  /** The highest that anybody concerned names. */
  readonly position: LogPosition
  readonly hashes: readonly Buffer[]
}

const EPSILON_MS = 250

export class Reliances {
  readonly #authority: Authority
  readonly #clock: Clock
  readonly #opener = new Opener()

  constructor(authority: Authority, clock: Clock) {
    this.#authority = authority
    this.#clock = clock
  }

  /**
   * @param envelopes at least one. Whether what they stand for was revoked since is for the consumer's job class to say.
   */
  judge(envelopes: readonly Buffer[], { tenant }: BoundaryIdentity, judged: Judged): Reliance | Denial {
    const ring = this.#authority.viewOf(tenant).ring()
    if (ring === null) return denied('key_not_in_force')
    const context = { ring, now: this.#clock.now(), epsilonMs: EPSILON_MS }
    const steps: OpenedEnvelope[] = []
    for (const envelope of envelopes) {
      const step = this.#opener.prove(envelope, context)
      if (!step.ok) return denied('reliance_refused', step.code)
      steps.push(step.envelope)
    }
    const hashes = envelopes.map(envelopeHash)
    const [{ claims: first }] = steps as [OpenedEnvelope]
    let { position } = judged
    for (const { claims } of steps) {
      const { position: named, tenant: theirs } = claims.tctx
      if (theirs !== tenant || claims.txn !== first.txn) return denied('reliance_refused', 'envelope_reliance_foreign')
      if (named.log_id !== position.log_id) return denied('reliance_refused', 'position_other_log')
      if (named.offset > position.offset) position = named
      if (!claims.relies_on.every((hash) => hashes.some((known) => known.equals(hash)))) {
        return denied('reliance_refused', 'envelope_reliance_missing')
      }
    }
    return { ok: true, txn: first.txn, targets: withTransaction(judged.targets, steps), position, hashes }
  }
}

function withTransaction(
  targets: readonly TargetVersion[],
  steps: readonly OpenedEnvelope[],
): readonly TargetVersion[] {
  const [{ claims: first }] = steps as [OpenedEnvelope]
  const key = targetKey({ kind: 'transaction', tenant: '', id: first.txn })
  if (targets.some((target) => key.equals(target.key))) return targets
  const found = steps.flatMap((step) => step.targets).find((target) => key.equals(target.key))
  return [...targets, found ?? { kind: 'transaction', key, version: first.iat }]
}
