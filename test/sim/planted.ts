/**
 * Protocol faults planted one at a time into the code that ships, to prove that the simulation and its
 * checker would see them. Each is an edit of one place, applied as the module is loaded; an edit whose
 * place is no longer there once is an error, so that none of them goes stale in silence.
 */

/** One edit. */
export interface Planted {
  readonly name: string
  /** From the root of the repository. */
  readonly file: string
  readonly find: string
  readonly replace: string
}

export const PLANTED: readonly Planted[] = [
  {
    name: 'skip the maximum: the last floor read replaces a higher one',
    file: 'libs/revocation/src/view.ts',
    find: 'const entry = known && id >= 0 ? this.#table.find(key, id) : -1',
    replace: 'const entry = known && id >= 0 ? this.#table.find(key, id) : -1\n    if (entry >= 0) return false',
  },
  {
    name: 'ignore a reason',
    file: 'libs/policy/src/decide.ts',
    find: 'if (target.version >= higher) continue',
    replace: "if (target.version >= higher || entry.effect === 'reason:suspension') continue",
  },
  {
    name: 'ignore effects that are not known',
    file: 'libs/policy/src/decide.ts',
    find: 'const reason = reasonOf(entry.effect) ?? entry.fallback\n      if',
    replace: "const reason = reasonOf(entry.effect) ?? 'logout'\n      if",
  },
  {
    name: 'ignore removed scopes',
    file: 'libs/policy/src/decide.ts',
    find: "if (removed?.includes(scope)) return refusal('deny', 'scope_removed', 'scopes', asOf, scope)",
    replace: '',
  },
  {
    name: 'let work sealed after the signal finish',
    file: 'libs/policy/src/decide.ts',
    find: 'return version >= lower && iat < higher - epsilonMs',
    replace: 'return true || (version >= lower && iat < higher - epsilonMs)',
  },
  {
    name: 'trust a stale checkpoint',
    file: 'libs/policy/src/decide.ts',
    find: "if (!(freshness.ageMs <= rules.stalenessBudgetMs)) return 'view_stale'",
    replace: '',
  },
  {
    name: 'admit before the position is reached',
    file: 'libs/policy/src/decide.ts',
    find: "if (reached === 'behind') return refusal('wait', 'view_behind', 'causal', freshness.asOf)",
    replace: "if (reached === 'behind') return null",
  },
  {
    name: 'believe a view without its digest',
    file: 'libs/replica/src/chain.ts',
    find: 'return this.#noted !== null && this.#noted.count === count && this.#noted.digest.equals(digest)',
    replace: 'return this.#noted !== null && count >= 0 && digest.length > 0',
  },
  {
    name: 'believe forged signals',
    file: 'libs/replica/src/follower.ts',
    find: "if (verifies && !verifyRecord('Signal', body, signature, ring, 'signal', record.timestamp).ok) {",
    replace: 'if (verifies && body.length === 0) {',
  },
  {
    name: 'drop floors before the horizon',
    file: 'services/identity/src/notary/statement.ts',
    find: 'horizon: Math.max(limits.horizon, asOf - ring.bundle.window_ms),',
    replace: 'horizon: Math.max(limits.horizon, asOf - 1_000),',
  },
  {
    name: 'sign without read-back',
    file: 'services/identity/src/notary/outbox-keeper.ts',
    find: 'return found && signals.size === 0',
    replace: 'return true',
  },
  {
    name: 'sign without looking for acknowledged rows',
    file: 'services/identity/src/notary/outbox-audit.ts',
    find: "if (standing === 'missing') missing.push(row)",
    replace: '',
  },
  {
    name: 'acknowledge before the log has it',
    file: 'services/identity/src/log/outbox.ts',
    find: 'const appended = await log.append(topic, records)',
    replace: 'const appended = records.map(() => ({ partition: 0, offset: 0, timestamp: 0 }))',
  },
  {
    name: 'raise a floor that is not above what was issued',
    file: 'libs/session-store/src/steps/targets.ts',
    find: 'return Math.max((stored?.version ?? 0) + 1, atLeast + 1, now)',
    replace: 'return Math.min((stored?.version ?? now) + (atLeast > now ? 1 : 0), now)',
  },
  {
    name: 'resolve the offset before the record',
    file: 'libs/enforcer/src/ledger.ts',
    find: "await this.#append('final', ready)",
    replace: "void this.#append('final', ready).catch(() => {})",
  },
  {
    name: 'run before the admission is recorded',
    file: 'libs/enforcer/src/ledger.ts',
    find: "await this.#append('admitted', items, giveUp)",
    replace: "void this.#append('admitted', items, giveUp).catch(() => {})",
  },
  {
    name: 'judge once, when fetched',
    file: 'libs/enforcer/src/batch.ts',
    find: 'if (refusal === null) return attempt(this.#parts, item, this.#parts.handler, this.#beat)',
    replace:
      "if (refusal?.settlement.outcome !== 'parked') return attempt(this.#parts, item, this.#parts.handler, this.#beat)",
  },
  {
    name: 'park without a copy',
    file: 'libs/enforcer/src/ledger.ts',
    find: "await this.#setAside('parked', this.#parts.topic.park, settled)",
    replace: '',
  },
  {
    name: 'say of signals that they are in the view before they are read',
    file: 'libs/replica/src/progress.ts',
    find: 'offset: follower.position,',
    replace: 'offset: follower.position + 20,',
  },
  {
    name: 'close a receipt without waiting for whoever is silent',
    file: 'libs/evidence/src/receipts/judge.ts',
    find: 'return at + maxStalenessMs + epsilonMs',
    replace: 'return at + 0 * (maxStalenessMs + epsilonMs)',
  },
]

/** @returns the source with the edit. @throws {Error} unless the place is there exactly once. */
export function plant(source: string, { name, file, find, replace }: Planted): string {
  if (source.split(find).length !== 2) throw new Error(`"${name}": its place in ${file} is not there exactly once`)
  return source.replace(find, () => replace)
}
