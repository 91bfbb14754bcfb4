/**
 * Identity's store as a port. Owns which changes are one step: a state change, the versions it raises and
 * the signed outbox rows telling of it are written together or not at all. Adapters: `sqlite/`. All pass
 * the suite in `contract.ts`.
 */
import type { LogPosition, Reason, Signal, SignalTarget } from '@countersign/schemas'
import type { OutboxPort } from './outbox.ts'
import type {
  Account,
  Affiliation,
  PasswordHash,
  ResolvedSession,
  Revocation,
  Secret,
  Session,
  StoredTarget,
  VersionedTarget,
} from './records.ts'

/** Encodes and signs a signal. Called while its step is being written, maybe more than once; must not throw. */
export type Sealer = (signal: Signal) => { readonly body: Buffer; readonly signature: Buffer }

/** Why a step changed nothing. */
export type Refusal =
  | 'account_unknown'
  | 'account_not_active'
  | 'account_changed'
  | 'email_taken'
  | 'affiliation_unknown'
  | 'affiliation_not_active'
  | 'affiliation_changed'
  | 'session_unknown'
  | 'session_not_expired'
  | 'reset_code_unknown'
  | 'id_reused'
  | 'store_behind_log'

export interface Refused {
  readonly refused: Refusal
}

/** The state change of an ending step. */
export type Change =
  | { readonly kind: 'none' }
  /** Refused with `session_unknown` unless the session is live. With `expiredBy`, only if it had expired by then. */
  | { readonly kind: 'session_ended'; readonly handle: string; readonly expiredBy?: number }
  | { readonly kind: 'account_suspended'; readonly sub: string }
  | { readonly kind: 'account_deleted'; readonly sub: string }
  | { readonly kind: 'affiliation_suspended'; readonly tenant: string; readonly sub: string }
  | { readonly kind: 'affiliation_removed'; readonly tenant: string; readonly sub: string }
  /** Refused with `affiliation_changed` unless the record still has this revision. */
  | {
      readonly kind: 'roles_set'
      readonly tenant: string
      readonly sub: string
      readonly roles: readonly string[]
      readonly revision: number
    }
  /** Uses up the code; refused with `reset_code_unknown` when it is unknown, used or expired at `now`. */
  | {
      readonly kind: 'password_reset'
      readonly sub: string
      readonly codeHash: Buffer
      readonly password: PasswordHash
    }

/** A floor to raise: `max(stored, atLeast, previous + 1, now)`. Raises of one step on one target share one floor. */
export interface Raise {
  readonly target: SignalTarget
  /** `scope:<scope>` takes one scope; anything else, such as `reason:<Reason>`, ends what carries a lower version. */
  readonly effect: string
  readonly fallback: Reason
  /** Highest floor or version of the target seen outside this store; 0 for none. */
  readonly atLeast: number
}

/** One step that ends or lowers authority. */
export interface Ending {
  /** Revocation id, 16 bytes, chosen before the first attempt. The first signal has it; others derive theirs from it. */
  readonly id: Buffer
  /** Digest of what was asked, 32 bytes. The same id with another digest is refused with `id_reused`. */
  readonly request: Buffer
  readonly cause: string
  readonly initiator: string
  readonly tenant: string | null
  /** Wall time, epoch milliseconds. */
  readonly now: number
  readonly change: Change
  readonly raises: readonly Raise[]
  /** Highest outbox sequence seen on the log. A store behind it refuses with `store_behind_log`. */
  readonly seenSeq: number
}

/** What an ending step did. */
export interface Ended {
  readonly revocation: Revocation
  /** True when the id had been used before: the first answer, nothing done again. */
  readonly repeated: boolean
}

/** A session to begin. */
export interface NewSession {
  readonly handle: string
  /** SHA-256 of the cookie value. */
  readonly secretHash: Buffer
  readonly sub: string
  readonly tenant: string
  readonly device: string | null
  readonly authTime: number
  readonly amr: readonly string[]
  readonly acr: string | null
  readonly idleExpiresAt: number
  readonly absoluteExpiresAt: number
  /** Revision of the account whose password was checked: a reset in between refuses with `account_changed`. */
  readonly accountRevision: number
  /** Floors of the own view, per target; the versions captured are never below them. */
  readonly atLeast: readonly VersionedTarget[]
  readonly seenSeq: number
  readonly now: number
  /** Ends this session in the same step: a new login never keeps an old session, nor its id. */
  readonly replaces: Ending | null
}

/** A signal found on the log that the store does not have: it was rolled back. */
export interface LostSignal {
  readonly signal: Signal
  readonly body: Buffer
  readonly signature: Buffer
  readonly position: LogPosition
  /** For an affiliation that lost a scope: the roles it is left with. */
  readonly roles?: readonly string[]
}

/** How logins are slowed; times in milliseconds. */
export interface AttemptRule {
  readonly keys: readonly { readonly key: string; readonly free: number }[]
  readonly baseMs: number
  readonly maxMs: number
  readonly forgetMs: number
}

/** Every method throws {SESSION_STORE_UNAVAILABLE}, whose `outcome` says whether a change may have happened. */
export interface SessionStore extends OutboxPort {
  /** Makes an account with its affiliations; raises nothing, versions begin at `max(now, atLeast)`. */
  createAccount(options: {
    sub: string
    email: string
    password: PasswordHash
    affiliations: readonly { tenant: string; roles: readonly string[] }[]
    atLeast: readonly VersionedTarget[]
    now: number
  }): Promise<Account | Refused>
  /** Adds an affiliation, or gives an existing one back untouched. */
  createAffiliation(options: {
    tenant: string
    sub: string
    roles: readonly string[]
    atLeast: readonly VersionedTarget[]
    now: number
  }): Promise<Affiliation | Refused>
  account(sub: string): Promise<Account | null>
  accountByEmail(email: string): Promise<Account | null>
  affiliation(tenant: string, sub: string): Promise<Affiliation | null>
  /** @returns all affiliations of a person, by tenant. */
  affiliationsOf(sub: string): Promise<readonly Affiliation[]>
  /** Ends a suspension. What was ended stays ended: a new session is needed. */
  restoreAccount(sub: string): Promise<Account | Refused>
  restoreAffiliation(tenant: string, sub: string): Promise<Affiliation | Refused>
  /** Keeps the hash of a single-use reset code in place of any earlier one of this person. */
  putResetCode(options: { sub: string; codeHash: Buffer; expiresAt: number }): Promise<void>
  /** @returns whose unused, unexpired code this is, null for none. */
  resetCodeOwner(codeHash: Buffer, now: number): Promise<string | null>

  /** Begins a session; versions captured are the stored ones raised to `atLeast`. */
  createSession(
    session: NewSession,
  ): Promise<{ readonly session: Session; readonly replaced: Revocation | null } | Refused>
  /** @returns the live session this cookie value belongs to; null when unknown, ended by any of its targets, or expired at `now`. */
  resolveSession(secretHash: Buffer, now: number): Promise<ResolvedSession | null>
  /** @returns the live session of that handle, null as above. */
  session(handle: string, now: number): Promise<Session | null>
  /** Moves last use and idle expiry of a live session on, never back and never past its absolute end. */
  touchSession(handle: string, now: number, idleExpiresAt: number): Promise<void>
  /** @returns handles, with tenants, of sessions that expired by `now` and nothing else has ended; oldest first. */
  expiredSessions(now: number, limit: number): Promise<readonly { handle: string; tenant: string }[]>

  /** Applies one ending step. The same id gives the first answer. */
  end(step: Ending): Promise<Ended | Refused>
  /** @returns what was asked with this id and where it stands now, null when nothing was. */
  revocation(id: Buffer): Promise<Revocation | null>
  /** @returns the target as stored, null when nothing is stored of it. */
  target(target: SignalTarget): Promise<StoredTarget | null>

  putSecret(secret: Secret): Promise<void>
  /** @returns the secret with this hash, null for none. */
  secret(hash: Buffer): Promise<Secret | null>
  /**
   * Counts an attempt against each key and says whether it may go on: from its `free`th attempt on a key rests
   * `baseMs · 2^(attempts − free)`, at most `maxMs`, after each, and forgets when left alone for `forgetMs`. Counting
   * and judging are one step, so that parallel guesses do not slip through.
   * @returns 0 to go on, else milliseconds to wait; a refused attempt counts nothing.
   */
  admitAttempt(options: AttemptRule & { now: number }): Promise<number>
  /** After an attempt that succeeded: forgets all attempts of `cleared`, and only this one of `refunded`. */
  settleAttempt(keys: { cleared: readonly string[]; refunded: readonly string[] }): Promise<void>

  /**
   * Takes back what a rollback lost: keeps the rows as acknowledged, raises versions, and re-applies what each
   * signal says of state: suspension, removal, a password voided by its reset, roles as given. Idempotent.
   * @param seq the store's sequence is at least this afterwards.
   * @param endings what must end because not everything was found again; the same step, so that a crash skips none.
   */
  adopt(lost: readonly LostSignal[], seq: number, endings: readonly Ending[]): Promise<void>
  /** @returns all tenants with an affiliation, sorted. */
  tenants(): Promise<readonly string[]>
  close(): Promise<void>
}
