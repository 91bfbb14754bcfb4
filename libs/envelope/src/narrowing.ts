/** What a child may differ in from its parent: less authority, a later moment, the next actor, its own event. */
import type { EnvelopeClaims, TransactionContext } from '@countersign/schemas'

/** @returns the first field in which the child claims more than its parent or something else, or null. */
export function widenedField(child: EnvelopeClaims, parent: EnvelopeClaims): string | null {
  if (child.txn !== parent.txn) return 'txn'
  if (child.sub !== parent.sub) return 'sub'
  if (child.exp > parent.exp) return 'exp'
  if (child.iat < parent.iat) return 'iat'
  if (child.depth !== parent.depth + 1) return 'depth'
  if (!isSubset(child.scope, parent.scope)) return 'scope'
  if (!reliesOnAll(child.relies_on, parent.relies_on)) return 'relies_on'
  return widenedContext(child.tctx, parent.tctx) ?? changedRequest(child, parent)
}

/** Both are sorted: one walk, since a chain and what it relies on can have thousands in 16 KiB each. */
function isSubset(some: readonly string[], all: readonly string[]): boolean {
  let at = 0
  for (const one of some) {
    while (at < all.length && (all[at] as string) < one) at++
    if (all[at] !== one) return false
  }
  return true
}

/** @returns true when one list of hashes holds all of another. */
export function reliesOnAll(hashes: readonly Uint8Array[], needed: readonly Uint8Array[]): boolean {
  return needed.every((one) => hashes.some((other) => Buffer.compare(one, other) === 0))
}

function widenedContext(child: TransactionContext, parent: TransactionContext): string | null {
  if (child.tenant !== parent.tenant) return 'tenant'
  if (child.principal !== parent.principal) return 'principal'
  if (child.credential !== parent.credential) return 'credential'
  if (child.session !== parent.session) return 'session'
  if (child.client !== parent.client) return 'client'
  if (child.device !== parent.device) return 'device'
  if (child.scope_version !== parent.scope_version) return 'scope_version'
  if (child.position.log_id !== parent.position.log_id) return 'position'
  if (child.position.offset < parent.position.offset) return 'position'
  return sameTargets(child, parent) ? (sameActors(child, parent) ? null : 'act') : 'targets'
}

function sameTargets(child: TransactionContext, parent: TransactionContext): boolean {
  if (child.targets.length !== parent.targets.length) return false
  return child.targets.every((target, i) => {
    const other = parent.targets[i]
    return (
      other !== undefined &&
      target.kind === other.kind &&
      target.version === other.version &&
      Buffer.compare(target.key, other.key) === 0
    )
  })
}

/** The parent's actors behind at most one more. */
function sameActors(child: TransactionContext, parent: TransactionContext): boolean {
  const added = child.act.length - parent.act.length
  if (added !== 0 && added !== 1) return false
  return parent.act.every((actor, i) => {
    const other = child.act[i + added]
    return other !== undefined && actor.sub === other.sub && actor.principal === other.principal
  })
}

function changedRequest(child: EnvelopeClaims, parent: EnvelopeClaims): string | null {
  const a = child.rctx
  const b = parent.rctx
  const same =
    a.request_id === b.request_id &&
    a.auth_time === b.auth_time &&
    a.acr === b.acr &&
    a.ip === b.ip &&
    a.user_agent === b.user_agent &&
    a.posture === b.posture &&
    a.risk === b.risk &&
    a.amr.length === b.amr.length &&
    a.amr.every((method, i) => method === b.amr[i])
  return same ? null : 'rctx'
}
