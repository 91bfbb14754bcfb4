/** What the store keeps. Secrets are kept as hashes alone; handles are public names. */
import type { Actor, SignalTarget } from '@countersign/schemas'

/**
 * Version of the records below, written with each. A reader keeps members it does not know, so that instances of two
 * versions can share a store while one replaces the other.
 */
export const RECORD_SCHEMA = 2

/** Records of this version and later mean something else, not only more: a reader refuses them. */
export const RECORD_SCHEMA_REFUSED = 100

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

/** A person, or a service that clients act as. */
export interface Account {
  /** Opaque random subject id; never reused. */
  readonly sub: string
  readonly principal: 'user' | 'service'
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

/** How a session is held: by cookie (`browser`, `admin`), by bearer (`api`) or by rotating refresh token (`family`, `device`). */
export type SessionKind = 'browser' | 'admin' | 'api' | 'family' | 'device'

/** A person or service in one tenant, let in until it ends. A family of refresh tokens is a session too. */
export interface Session {
  /** Public random name; authenticates nothing. */
  readonly handle: string
  readonly kind: SessionKind
  readonly sub: string
  readonly tenant: string
  /** Client it was begun through, null for identity's own pages. */
  readonly client: string | null
  readonly device: string | null
  /** Who acts for `sub`, current actor first; empty when `sub` acts. */
  readonly act: readonly Actor[]
  /** Session it must not outlive; that session is among its targets. Null for none. */
  readonly parent: string | null
  /** Scopes it is limited to, sorted; null for all its roles grant. */
  readonly scope: readonly string[] | null
  readonly createdAt: number
  readonly lastSeenAt: number
  readonly idleExpiresAt: number
  readonly absoluteExpiresAt: number
  /** Epoch milliseconds. */
  readonly authTime: number
  readonly amr: readonly string[]
  readonly acr: string | null
  /** True when its device was first seen with this session. */
  readonly newDevice: boolean
  /** Targets whose ending ends this session, with the versions it was made under. */
  readonly targets: readonly VersionedTarget[]
  /** Of `family` and `device`; null for others. */
  readonly refresh: RefreshState | null
}

/**
 * Where the rotation of a family stands. No token is kept: generation n is a MAC over handle, n and nonce under a
 * key that the store does not have.
 */
export interface RefreshState {
  /** Name of the MAC key. */
  readonly keyId: string
  /** 16 bytes. */
  readonly nonce: Buffer
  /** The live one; the first is 1. */
  readonly generation: number
  /** Latest rotations, newest first, at most 8. */
  readonly rotations: readonly Rotation[]
}

export interface Rotation {
  /** Generation that was used up. */
  readonly from: number
  readonly at: number
  /** When the answer with the successor was handed to the network; null while that is not known. */
  readonly deliveredAt: number | null
}

/** A machine a person logs in from. */
export interface Device {
  /** Public random name. */
  readonly handle: string
  readonly sub: string
  /** As people recognise it, from the user agent. */
  readonly name: string
  readonly state: 'active' | 'lost'
  readonly createdAt: number
  readonly lastSeenAt: number
}

export type FactorKind = 'totp' | 'recovery' | 'webauthn'

/**
 * Something besides the password by which a person shows themselves. Its handle is a target of kind `device`: sessions
 * begun with it end when it goes.
 */
export interface Factor {
  /** Public random name. */
  readonly handle: string
  readonly sub: string
  readonly kind: FactorKind
  /** As its person calls it. */
  readonly name: string
  readonly createdAt: number
  /** Null while it was never used but to confirm it. */
  readonly lastUsedAt: number | null
  /** Of kind `totp`; null for others. */
  readonly totp: TotpState | null
  /** Of kind `recovery`: keyed hashes of the codes that are left; null for others. */
  readonly codes: readonly string[] | null
  /** Of kind `webauthn`; null for others. */
  readonly webauthn: WebAuthnCredential | null
}

/** Time-based one-time passwords (RFC 6238). */
export interface TotpState {
  /** Shared secret, encrypted under a key the store does not have. */
  readonly sealedSecret: Buffer
  /** Latest time step a code was used of: none of it or before is taken again. */
  readonly usedStep: number
}

/** A public key credential (Web Authentication Level 3 §5.1). */
export interface WebAuthnCredential {
  /** Credential id, base64url; of one factor only. */
  readonly id: string
  /** COSE key. */
  readonly publicKey: Buffer
  /** Signature counter last seen; 0 for authenticators without. */
  readonly counter: number
  readonly transports: readonly string[]
  /** True when it can show its user besides its presence. */
  readonly verifiesUser: boolean
  /** True for one that its authenticator may copy to others. */
  readonly backupEligible: boolean
}

/** A factor somebody is about to get: shown to them, not yet confirmed. One for each session. */
export interface Enrolment {
  /** Session it was begun in; no other can confirm it. */
  readonly session: string
  readonly sub: string
  readonly kind: 'totp' | 'webauthn'
  readonly name: string
  /** TOTP: the sealed secret. */
  readonly sealedSecret: Buffer | null
  /** WebAuthn: the challenge given out. */
  readonly challenge: Buffer | null
  readonly expiresAt: number
}

/** That somebody was asked to show more of themselves, and has not yet. One for each session. */
export interface StepUp {
  /** Session to be stepped up; no other can answer. */
  readonly session: string
  readonly sub: string
  readonly tenant: string
  /** Client on whose behalf, null for identity's own pages. */
  readonly client: string | null
  /** Strength asked for. */
  readonly acr: string
  /** 32 random bytes that an authenticator signs. */
  readonly challenge: Buffer
  readonly startedAt: number
  readonly expiresAt: number
}

/** RFC 7591 §2 `grant_types`; the last is RFC 8693's. */
export type GrantType =
  | 'authorization_code'
  | 'refresh_token'
  | 'client_credentials'
  | 'urn:ietf:params:oauth:grant-type:token-exchange'

/** An OAuth client (RFC 6749 §2). */
export interface Client {
  readonly id: string
  readonly name: string
  /** RFC 7591 §2 `token_endpoint_auth_method`. */
  readonly authMethod: 'none' | 'client_secret_basic' | 'client_secret_post' | 'private_key_jwt'
  /** Hash of the secret in force; null for none. */
  readonly secretHash: Buffer | null
  /** JWK set, JSON; null for none. */
  readonly jwks: string | null
  /** Compared exactly. */
  readonly redirectUris: readonly string[]
  readonly grants: readonly GrantType[]
  /** Scopes it may ask for, sorted. */
  readonly scopes: readonly string[]
  /** Audiences its tokens may name; the first is the default. */
  readonly audiences: readonly string[]
  readonly tokenFormat: 'jwt' | 'opaque'
  /** Kind of session its refresh tokens belong to. */
  readonly sessionKind: 'family' | 'device'
  /** Service account it acts as, for itself or for others, and in which tenant; null for none. */
  readonly service: { readonly sub: string; readonly tenant: string } | null
  /** Audiences it answers for: tokens for these it may introspect and exchange. */
  readonly introspects: readonly string[]
  readonly state: 'active' | 'disabled'
  /** Rises by one with each change of this record. */
  readonly revision: number
  readonly createdAt: number
}

/** An opaque access token (RFC 6749 §1.4), kept by hash. */
export interface Token {
  /** Public random name, the `jti`. */
  readonly handle: string
  /** Session it was issued from; null for client_credentials. */
  readonly session: string | null
  readonly kind: SessionKind | null
  readonly principal: 'user' | 'service'
  readonly sub: string
  readonly tenant: string
  readonly client: string | null
  readonly device: string | null
  readonly act: readonly Actor[]
  readonly audience: readonly string[]
  readonly scopes: readonly string[]
  readonly authTime: number | null
  readonly amr: readonly string[]
  readonly acr: string | null
  readonly issuedAt: number
  readonly expiresAt: number
  readonly targets: readonly VersionedTarget[]
}

/** A token with what its owner may do now. */
export interface ResolvedToken {
  readonly token: Token
  /** Roles in the token's tenant now. */
  readonly roles: readonly string[]
  /** Version of the affiliation as the roles were read. */
  readonly scopeVersion: number
}

/** An authorization code (RFC 6749 §4.1.2), kept by hash. */
export interface AuthorizationCode {
  readonly client: string
  readonly redirectUri: string
  /** PKCE S256 challenge (RFC 7636 §4.2). */
  readonly challenge: string
  /** Session that authorised it. */
  readonly session: string
  readonly scope: readonly string[]
  readonly audience: readonly string[]
  readonly expiresAt: number
  /** Session begun with it; null while unused. */
  readonly usedFor: string | null
}

/** A key that signs access tokens; its private half is encrypted under a key the store does not have. */
export interface TokenKey {
  readonly kid: string
  readonly alg: string
  /** Public JWK, JSON. */
  readonly publicJwk: string
  readonly sealedPrivate: Buffer
  readonly createdAt: number
  /** Signs from here on; published before. */
  readonly signsFrom: number
}

/** A live session with what its owner may do now. */
export interface ResolvedSession {
  readonly session: Session
  readonly account: Pick<Account, 'sub' | 'email' | 'principal'>
  readonly roles: readonly string[]
  /** Version of the affiliation as the roles were read. */
  readonly scopeVersion: number
}

/** A long random secret of a service, an operator or another identity provider, kept as SHA-256. */
export interface Secret {
  readonly name: string
  /** `revoker`: may end what a foreign issuer names, and nothing else. */
  readonly use: 'service' | 'operator' | 'revoker'
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
  /** Highest position of its rows, on the first of their logs; null while pending or without rows. */
  readonly position: { readonly log_id: string; readonly offset: number } | null
  /** The same on each of their logs; set where there are several. */
  readonly positions?: readonly { readonly log_id: string; readonly offset: number }[]
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
