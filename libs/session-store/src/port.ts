/**
 * Identity's store as a port. Owns which changes are one step: a state change, the versions it raises and
 * the signed outbox rows telling of it are written together or not at all. What a step does
 * is written once, in `steps/`; the adapters `sqlite/` and `redis/` make it atomic. Both pass the suite in `contract.ts`.
 */
import type { Actor, LogPosition, Reason, Signal, SignalTarget } from '@countersign/schemas'
import type { LogOwner, OutboxPort } from './outbox.ts'
import type {
  Account,
  Affiliation,
  AuthorizationCode,
  Client,
  Device,
  Enrolment,
  Factor,
  PasswordHash,
  ResolvedSession,
  ResolvedToken,
  Revocation,
  Secret,
  Session,
  SessionKind,
  StepUp,
  StoredTarget,
  Token,
  TokenKey,
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
  | 'session_limit'
  | 'parent_ended'
  | 'device_unknown'
  | 'factor_unknown'
  | 'factor_used'
  | 'factor_exists'
  | 'factor_limit'
  | 'enrolment_unknown'
  | 'step_up_unknown'
  | 'client_unknown'
  | 'client_exists'
  | 'client_not_active'
  | 'client_changed'
  | 'code_unknown'
  | 'code_used'
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
  /** Ends those that are live; refused with `session_unknown` when none is. Raises for the others are left out. */
  | { readonly kind: 'sessions_ended'; readonly handles: readonly string[] }
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
  /** Refused with `device_unknown` unless the device is that person's and active. */
  | { readonly kind: 'device_lost'; readonly sub: string; readonly device: string }
  /** Refused with `factor_unknown` unless all of them are that person's. */
  | { readonly kind: 'factors_removed'; readonly sub: string; readonly factors: readonly string[] }
  | { readonly kind: 'client_disabled'; readonly client: string }
  /** Refused with `client_changed` unless the record still has this revision. */
  | {
      readonly kind: 'client_secret_rotated'
      readonly client: string
      readonly secretHash: Buffer
      readonly revision: number
    }
  /** Takes scopes, audiences, redirect URIs or grants from a client. Refused with `client_changed` as above. */
  | { readonly kind: 'client_narrowed'; readonly client: NewClient; readonly revision: number }
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

/** What a person showed of a factor, so that it counts once. */
export type FactorUse = {
  /** Session whose step-up this finishes. Refused with `step_up_unknown` unless it waits for one, `session_unknown` unless it is live. */
  readonly stepUp: string
} & (
  | {
      readonly kind: 'totp'
      /** Time step of the code. Refused with `factor_used` unless it is above the one last used. */
      readonly step: number
      /** The secret sealed anew, null to leave it. */
      readonly resealed: Buffer | null
    }
  /** Refused with `factor_used` unless this code is left. */
  | { readonly kind: 'recovery'; readonly code: string }
  | {
      readonly kind: 'webauthn'
      /** Refused with `step_up_unknown` unless it is the one given out. */
      readonly challenge: Buffer
      /** Refused with `factor_used` unless it is above the one last seen, or both are 0. */
      readonly counter: number
    }
)

/** A session to begin. */
export interface NewSession {
  readonly handle: string
  readonly kind: SessionKind
  /** What it is known by: SHA-256 of a cookie or bearer value, or where its refresh tokens begin. */
  readonly credential:
    | { readonly kind: 'secret'; readonly hash: Buffer }
    | { readonly kind: 'refresh'; readonly keyId: string; readonly nonce: Buffer }
  readonly sub: string
  readonly tenant: string
  /** Refused with `client_not_active` unless it is. */
  readonly client: string | null
  /**
   * A device of that person, made with the session if its handle is new; without a secret, one that is known already.
   * Refused with `device_unknown` if lost or another's.
   */
  readonly device: { readonly handle: string; readonly secretHash: Buffer | null; readonly name: string } | null
  /**
   * Factor of that person it stands on, which becomes one of its targets. Refused with `factor_unknown` if it is gone.
   * `use`: what is used up in the same step; null when what it was begun from had used it.
   */
  readonly factor: { readonly handle: string; readonly use: FactorUse | null } | null
  readonly act: readonly Actor[]
  /** Live session it must not outlive; its targets become targets of this one. Refused with `parent_ended`. */
  readonly parent: string | null
  readonly scope: readonly string[] | null
  readonly authTime: number
  readonly amr: readonly string[]
  readonly acr: string | null
  readonly idleExpiresAt: number
  readonly absoluteExpiresAt: number
  /** Revision of the account whose password was checked: a reset in between refuses with `account_changed`. Null where none was. */
  readonly accountRevision: number | null
  /** Code used up in the same step; a second use refuses with `code_used`. */
  readonly codeHash: Buffer | null
  /** Floors of the own view, per target; the versions captured are never below them. */
  readonly atLeast: readonly VersionedTarget[]
  readonly seenSeq: number
  readonly now: number
  /** Sessions ended in the same step: the one a login replaces, and those a limit lets go. Those ended meanwhile are passed over. */
  readonly ends: readonly Ending[]
  /** Most live sessions of this kind the person may have, this one included; more refuse with `session_limit`. Null for no limit. */
  readonly most: number | null
}

/** A client as an administrator writes it. */
export type NewClient = Omit<Client, 'revision' | 'createdAt' | 'state'>

/** What became of a refresh token that was genuine. */
export type Rotated =
  /** Used up: `generation` is live now. */
  | { readonly outcome: 'rotated'; readonly resolved: ResolvedSession; readonly generation: number }
  /** Used up before, within the grace: the same successor once more. */
  | { readonly outcome: 'repeated'; readonly resolved: ResolvedSession; readonly generation: number }
  /** Used up before, and the grace has passed: stolen, or about to be. Nothing was changed. */
  | { readonly outcome: 'reused'; readonly session: Session }
  /** Higher than any the store has given out: the store was rolled back. Nothing was changed. */
  | { readonly outcome: 'ahead'; readonly session: Session }

/** A signal found on the log that the store does not have: it was rolled back. */
export interface LostSignal {
  readonly signal: Signal
  readonly body: Buffer
  readonly signature: Buffer
  readonly position: LogPosition
  /** Name of the log it was found on; absent for `main`. */
  readonly log?: string
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
    principal: Account['principal']
    email: string
    /** Null for services. */
    password: PasswordHash | null
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

  /**
   * Begins a session; versions captured are the stored ones raised to `atLeast`. Asked again with the same handle and
   * credential, the first answer is given again; with another, `id_reused`.
   */
  createSession(
    session: NewSession,
  ): Promise<{ readonly session: Session; readonly ended: readonly Revocation[] } | Refused>
  /** @returns the live session this cookie value belongs to; null when unknown, ended by any of its targets, or expired at `now`. */
  resolveSession(secretHash: Buffer, now: number): Promise<ResolvedSession | null>
  /** @returns the live session of that handle, null as above. */
  session(handle: string, now: number): Promise<Session | null>
  /** @returns the live session of that handle with what its owner may do, null as above. */
  resolveHandle(handle: string, now: number): Promise<ResolvedSession | null>
  /** Moves last use and idle expiry of a live session on, never back and never past its absolute end. */
  touchSession(handle: string, now: number, idleExpiresAt: number): Promise<void>
  /** @returns the live sessions of a person, of all kinds and tenants, newest first. */
  sessionsOf(sub: string, now: number): Promise<readonly Session[]>
  /**
   * @returns how many sessions of all kinds have neither ended nor expired by `now`; one ended by a target that is not its
   * own, such as its person, counts until it expires.
   */
  countSessions(now: number): Promise<number>
  /**
   * Judges a genuine refresh token of a generation, in one step: the first use rotates and moves idle expiry on.
   * A repeat gives what the first use gave for `graceMs` after its answer left, and, while it is not known to have left,
   * until the successor is used: nobody who lost an answer loses the family.
   * @returns null when the session is unknown, ended, expired at `now`, no family, or another client's.
   */
  rotate(options: {
    handle: string
    client: string
    generation: number
    graceMs: number
    idleExpiresAt: number
    now: number
  }): Promise<Rotated | null>
  /** Notes when the answers to rotations have left. Unknown ones are ignored. */
  delivered(answers: readonly { handle: string; from: number; at: number }[]): Promise<void>
  /**
   * @returns handles, with tenants, of sessions that expired by `now` and nothing else has ended; oldest first, at most
   * `limit`, and fewer while more wait, but none only when none waits.
   */
  expiredSessions(now: number, limit: number): Promise<readonly { handle: string; kind: SessionKind; tenant: string }[]>

  /** @returns the devices of a person, newest first. */
  devicesOf(sub: string): Promise<readonly Device[]>
  /** @returns the active device this cookie value belongs to, null for none. */
  device(secretHash: Buffer): Promise<Device | null>

  /** @returns the factors of a person, oldest first. */
  factorsOf(sub: string): Promise<readonly Factor[]>
  /** Begins an enrolment in place of any earlier one of this session. */
  putEnrolment(enrolment: Enrolment): Promise<void>
  /** @returns the enrolment of this session, null when there is none or it expired by `now`. */
  enrolment(session: string, now: number): Promise<Enrolment | null>
  /**
   * Gives an active person factors, all or none. Refused with `enrolment_unknown`, `factor_exists` for a second one of kind `totp` or
   * `recovery` or a credential id that is somebody's, and `factor_limit` above `most` of kind `webauthn`.
   * @param enrolment session whose enrolment this uses up, and which must be live, or `session_unknown`; null for none. Once the
   * person has factors it must stand on one of them, or `enrolment_unknown`.
   */
  addFactors(options: {
    factors: readonly Factor[]
    enrolment: string | null
    most: number
    now: number
  }): Promise<readonly Factor[] | Refused>
  /** Refused with `factor_unknown` unless it is that person's. */
  renameFactor(options: { sub: string; factor: string; name: string }): Promise<Factor | Refused>
  /** Puts new codes in place of those left. Refused with `factor_unknown` unless it is that person's, of kind `recovery`. */
  replaceCodes(options: { sub: string; factor: string; codes: readonly string[] }): Promise<Factor | Refused>
  /**
   * Notes that a session was asked for more. Asked again while it waits, its times stay; the latest demand and challenge count.
   * @returns what stands now, whether it began just now, and the one before it if that had expired unanswered.
   */
  beginStepUp(
    stepUp: StepUp,
    now: number,
  ): Promise<{ readonly stepUp: StepUp; readonly isNew: boolean; readonly abandoned: StepUp | null }>
  /** @returns what this session waits for, null when nothing, or expired by `now`. */
  stepUp(session: string, now: number): Promise<StepUp | null>
  /** Forgets what expired by `now` unanswered, at most `limit`. @returns these; each is given out once. */
  takeAbandonedStepUps(now: number, limit: number): Promise<readonly StepUp[]>

  /** Makes a client. Refused with `client_exists`. */
  createClient(client: NewClient, now: number): Promise<Client | Refused>
  /** Changes what takes nothing away. Refused with `client_unknown` or `client_changed`. */
  updateClient(client: NewClient, revision: number): Promise<Client | Refused>
  restoreClient(id: string): Promise<Client | Refused>
  /** @returns the client, disabled ones too, null for none. */
  client(id: string): Promise<Client | null>
  /** @returns all clients, by id. */
  clients(): Promise<readonly Client[]>

  /** Keeps an opaque token until it expires. Its hash and handle are new: nothing is asked before they are written. */
  putToken(hash: Buffer, token: Token): Promise<void>
  /** @returns the token with this hash; null when unknown, expired at `now`, or ended by any of its targets. Hot: one round trip. */
  resolveToken(hash: Buffer, now: number): Promise<ResolvedToken | null>
  /**
   * What stands now of a self-contained credential.
   * @returns null when any of the targets was ended since its version, or the affiliation is not active.
   */
  resolveTargets(options: {
    targets: readonly VersionedTarget[]
    sub: string
    tenant: string
  }): Promise<Omit<ResolvedToken, 'token'> | null>
  /** @returns versions in force of the targets, never below `atLeast`; what is not stored yet begins at `now`. In the order given. */
  captureVersions(options: {
    targets: readonly SignalTarget[]
    atLeast: readonly VersionedTarget[]
    now: number
  }): Promise<readonly VersionedTarget[]>
  putCode(hash: Buffer, code: AuthorizationCode): Promise<void>
  /** @returns the code, used or not, null when unknown or expired at `now`. */
  code(hash: Buffer, now: number): Promise<AuthorizationCode | null>
  /** Takes a key that may be used once. @returns false when it was taken before and its `expiresAt` of then is after `now`. */
  takeOnce(options: { key: string; expiresAt: number; now: number }): Promise<boolean>
  /** @returns keys that sign access tokens, oldest first. */
  tokenKeys(): Promise<readonly TokenKey[]>
  /** Adds a key if the newest is still `after`; the first caller wins. @param after its kid, null for none. @returns all keys, as above. */
  addTokenKey(key: TokenKey, after: string | null): Promise<readonly TokenKey[]>
  /** Forgets keys. Unknown ones are ignored. */
  dropTokenKeys(kids: readonly string[]): Promise<void>
  /** Forgets tokens, codes, reset codes, enrolments and once-only keys that expired by `now`, at most `limit`. @returns how many. */
  dropExpired(now: number, limit: number): Promise<number>

  /**
   * Says which logs own which tenants, and so which logs later steps write rows for. Call it before anything is issued.
   * @returns tenants of this store that would move from one log to another, sorted; if any, nothing was changed.
   */
  shareTenants(logs: readonly LogOwner[]): Promise<{ readonly moved: readonly string[] }>
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
  /** @returns all tenants that ever had an affiliation, sorted. */
  tenants(): Promise<readonly string[]>
  close(): Promise<void>
}
