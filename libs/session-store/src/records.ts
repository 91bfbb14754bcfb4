/** What the store keeps. Secrets are kept as hashes alone; handles are public names. */
import type { SignalTarget } from '@countersign/schemas'

/** Version of the records below, written with each; a reader refuses newer ones. */
export const RECORD_SCHEMA = 1

/** A password as scrypt left it, with what is needed to check it (RFC 7914). */
export interface PasswordHash {
  readonly salt: Buffer
  readonly hash: Buffer
  /** CPU and memory cost, a power of two. */
  readonly n: number
  /** Block size. */
  readonly r: number
  /** Parallelisation. */
  readonly p: number
}

export type AccountState = 'active' | 'suspended' | 'deleted'

/** A person. */
export interface Account {
  /** Opaque random subject id; never reused. */
  readonly sub: string
  /** Unique among accounts, compared as given. */
  readonly email: string
  /** Null after the password was voided: only a reset helps. */
  readonly password: PasswordHash | null
  readonly state: AccountState
  /** Rises by one with each change of this record. */
  readonly revision: number
  readonly createdAt: number
}

/** A person's place in a tenant. */
export interface Affiliation {
  readonly tenant: string
  readonly sub: string
  /** Sorted, distinct. */
  readonly roles: readonly string[]
  readonly state: 'active' | 'suspended'
  /** Rises by one with each change of this record. */
  readonly revision: number
}

/** A login of one person in one tenant. */
export interface Session {
  /** Public random name; authenticates nothing. */
  readonly handle: string
  readonly sub: string
  readonly tenant: string
  readonly device: string | null
  readonly createdAt: number
  readonly lastSeenAt: number
  readonly idleExpiresAt: number
  readonly absoluteExpiresAt: number
  readonly authTime: number
  readonly amr: readonly string[]
  readonly acr: string | null
  /** Targets whose ending ends this session, with the versions it was made under. */
  readonly targets: readonly VersionedTarget[]
}

/** A live session with what its owner may do now. */
export interface ResolvedSession {
  readonly session: Session
  readonly account: Pick<Account, 'sub' | 'email'>
  readonly roles: readonly string[]
  /** Version of the affiliation as the roles were read. */
  readonly scopeVersion: number
}

/** A long random secret of a service or an operator, kept as SHA-256. */
export interface Secret {
  readonly name: string
  readonly use: 'service' | 'operator'
  readonly hash: Buffer
}

/** What was asked with one revocation id. */
export interface Revocation {
  readonly id: Buffer
  /** Digest of the request, so that an id cannot be used for another one. */
  readonly request: Buffer
  readonly cause: string
  readonly initiator: string
  /** Tenant whose administrators may read it, null for operators alone. */
  readonly tenant: string | null
  /** Sequences of its rows, rising; empty when nothing had to be taken away. */
  readonly seqs: readonly number[]
  /** Pending while one of its rows is. */
  readonly state: 'pending' | 'acknowledged'
  /** Highest position of its rows; null while pending or without rows. */
  readonly position: { readonly log_id: string; readonly offset: number } | null
  readonly createdAt: number
}

/** A target with a version: what a credential carries, or a floor seen elsewhere. */
export interface VersionedTarget extends SignalTarget {
  readonly version: number
}

/** A target as the store knows it. */
export interface StoredTarget {
  readonly target: SignalTarget
  /** Version in force: what is issued now carries it. */
  readonly version: number
  /** Versions below it are ended; 0 when nothing ended it yet. */
  readonly endedBelow: number
}
