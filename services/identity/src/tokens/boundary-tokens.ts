/**
 * Txn-Tokens that boundaries sealed, judged from identity's own view as any service judges them. Identity does not take
 * its word for more than a boundary may say: of whom and what a token names, each is a target of it, so that ending one
 * ends all that comes of it.
 */
import { type KnownKey, openTxnToken, type TxnTokenClaims } from '@countersign/envelope'
import type { Clock, Millis } from '@countersign/kernel'
import { isTarget, SIGNER_VERSION } from '@countersign/revocation'
import { keysOfTenant, type LogKeys, type OwnKeys } from '../log/own-view.ts'

/** Keys of boundaries, as identity's own view has them. */
export type BoundaryKeys = OwnKeys

export interface BoundaryTokensOptions {
  readonly keys: BoundaryKeys
  readonly trustDomain: string
  readonly epsilonMs: Millis
  readonly clock: Clock
}

/** What a text is: `others` has no key of a boundary; `unsure` may be one whose key was taken back since. */
export type Sealed = Readonly<Record<string, unknown>> | 'others' | 'unsure' | null

// As many as a boundary takes.
const MAX_TARGETS = 32

export class BoundaryTokens {
  readonly #options: BoundaryTokensOptions

  constructor(options: BoundaryTokensOptions) {
    this.#options = options
  }

  /** @returns claims of a Txn-Token a boundary sealed; null for one that is no good. Never throws on any text. */
  read(text: string): Sealed {
    const { keys } = this.#options
    let read: Sealed = 'others'
    for (const log of keys.byTenant?.views ?? [keys]) {
      const found = this.#readBy(log, text)
      if (typeof found === 'object' && found !== null) return found
      if (found !== 'others') read = found
    }
    return read
  }

  #readBy(log: LogKeys, text: string): Sealed {
    const { keys, trustDomain, epsilonMs, clock } = this.#options
    const ring = log.ring()
    if (ring === null) return 'others'
    const opened = openTxnToken(text, { ring, trustDomain, epsilonMs, now: clock.now() })
    // A key id of the bundle is a boundary's, whatever else the token says.
    if (!opened.ok)
      return opened.code === 'txn_token_key_unknown' || opened.code === 'txn_token_header_refused' ? 'others' : null
    // Good by the keys of a log that owns other tenants.
    if (keysOfTenant(keys, opened.claims.tenant) !== (keys.byTenant ? log : keys)) return null
    if (!log.fresh) return 'unsure'
    return isCovered(opened.claims) ? signedBy(opened.key, opened.claims) : null
  }
}

/** What comes of it ends with the key that sealed it. */
function signedBy({ signer: { kind, tenant, id } }: KnownKey, claims: TxnTokenClaims): TxnTokenClaims {
  return { ...claims, targets: [...(claims.targets as unknown[]), [kind, tenant, id, SIGNER_VERSION]] }
}

/** Whether each name has its target: without it, the token would outlive the end of who it names. */
function isCovered(claims: Readonly<Record<string, unknown>>): boolean {
  const { sub, tenant, jti, txn, client_id, sid, device, targets } = claims
  if (!Array.isArray(targets) || targets.length > MAX_TARGETS || !targets.every(isRow)) return false
  const hit = (kind: string, of: unknown, id: unknown): boolean =>
    targets.some((row) => row[0] === kind && row[1] === of && row[2] === id)
  return (
    hit('tenant', tenant, '') &&
    hit('subject', '', sub) &&
    hit('affiliation', tenant, sub) &&
    hit('token', '', jti) &&
    hit('transaction', '', txn) &&
    (client_id === undefined || hit('client', '', client_id)) &&
    (sid === undefined || hit('session', '', sid) || hit('family', '', sid)) &&
    (device === undefined || hit('device', '', device)) &&
    actorsOf(claims.act).every((actor) => hit('subject', '', actor))
  )
}

function isRow(row: unknown): row is readonly [string, string, string, number] {
  if (!Array.isArray(row) || row.length !== 4) return false
  const [kind, tenant, id] = row
  return typeof tenant === 'string' && typeof id === 'string' && isTarget({ kind, tenant, id })
}

function actorsOf(act: unknown): readonly unknown[] {
  const actors: unknown[] = []
  // As deep as a token can be: what is deeper than it may be is refused when it is read.
  for (let next = act; typeof next === 'object' && next !== null; next = (next as { act?: unknown }).act)
    actors.push((next as { sub?: unknown }).sub)
  return actors
}
