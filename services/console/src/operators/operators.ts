/**
 * Who is signed in here. Each use is judged anew, by the console's own view of the signals log: a logout, a lost device or a
 * role taken away ends it like any other work, with nobody asked.
 */
import { createHash } from 'node:crypto'
import type { Clock, Millis, Random } from '@countersign/kernel'
import type { SignalsView } from '@countersign/replica'
import { isTarget, type Target, targetKey } from '@countersign/revocation'
import type { SignedIn, VersionedTarget } from './sign-in.ts'

export interface Operator extends SignedIn {
  /** When identity was last asked, epoch milliseconds. */
  readonly provenAt: number
  readonly signedInAt: number
}

/** `stale` when neither the log nor identity has vouched for them lately. */
export type Judged =
  | { readonly ok: true; readonly operator: Operator }
  | { readonly ok: false; readonly code: 'none' | 'ended' | 'stale' }

export interface OperatorsOptions {
  readonly view: Pick<SignalsView, 'freshness' | 'floors'>
  readonly clock: Clock
  readonly random: Random
  readonly sessionLifeMs: Millis
  /** How long identity's word stands alone, milliseconds. */
  readonly provenForMs: Millis
  /** How old a proven view may be, milliseconds. */
  readonly stalenessMs: Millis
}

const MOST = 1_000

export class Operators {
  readonly #options: OperatorsOptions
  readonly #byKey = new Map<string, Operator>()

  constructor(options: OperatorsOptions) {
    this.#options = options
  }

  /** @returns the secret of a new session, for its cookie. */
  begin(who: SignedIn): string {
    const { clock, random } = this.#options
    for (const oldest of this.#byKey.keys()) {
      if (this.#byKey.size < MOST) break
      this.#byKey.delete(oldest)
    }
    const secret = random.bytes(32).toString('base64url')
    const now = clock.now()
    this.#byKey.set(keyOf(secret), { ...who, provenAt: now, signedInAt: now })
    return secret
  }

  end(secret: string): void {
    this.#byKey.delete(keyOf(secret))
  }

  /** Cost: a look-up per target. */
  judge(secret: string | undefined): Judged {
    const { clock, view, sessionLifeMs, provenForMs, stalenessMs } = this.#options
    const key = secret === undefined ? '' : keyOf(secret)
    const operator = this.#byKey.get(key)
    if (operator === undefined) return { ok: false, code: 'none' }
    const now = clock.now()
    if (now - operator.signedInAt >= sessionLifeMs || operator.targets.some((one) => this.#isHit(one))) {
      this.#byKey.delete(key)
      return { ok: false, code: 'ended' }
    }
    const { proven, ageMs } = view.freshness()
    if (!(proven && ageMs <= stalenessMs) && now - operator.provenAt >= provenForMs) return { ok: false, code: 'stale' }
    return { ok: true, operator }
  }

  #isHit({ version, ...given }: VersionedTarget): boolean {
    const one = given as Target
    // What is not known here cannot be looked up, and so cannot be vouched for.
    if (!isTarget(one)) return true
    return this.#options.view
      .floors(targetKey(one))
      .some(({ effect, higher }) => higher > version && !isOnlyOver(one, effect))
  }
}

/** The token by which they came is not used again; that its family runs out takes nothing from who is here. */
function isOnlyOver({ kind }: Target, effect: string): boolean {
  return (kind === 'family' || kind === 'token') && effect === 'reason:expiry'
}

function keyOf(secret: string): string {
  return createHash('sha256').update('countersign.console.v1\0').update(secret).digest('base64url')
}
