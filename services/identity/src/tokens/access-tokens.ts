/** Access tokens, self-contained (RFC 9068) or opaque. None outlives the session it is from. */
import { createHash } from 'node:crypto'
import { setImmediate } from 'node:timers/promises'
import { type Clock, type Millis, minutes, type Random } from '@countersign/kernel'
import type { ResolvedToken, SessionStore, Token } from '@countersign/session-store'
import type { TokenFault } from '@countersign/tokens'
import { type AccessToken, claimsOf, type Grant, type Minted, mint, signedBy, tokenOf } from './access-claims.ts'
import { OwnJwts } from './own-jwts.ts'
import type { TokenKeys } from './token-keys.ts'

export interface AccessTokensOptions {
  readonly store: Pick<SessionStore, 'putToken' | 'resolveToken' | 'resolveTargets'>
  readonly keys: Pick<TokenKeys, 'signer' | 'local' | 'learn'>
  /** Asked for when it is needed: it may be the address we listen on. */
  readonly issuer: string | (() => string)
  readonly clock: Clock
  readonly random: Random
  /** Life of a self-contained token. Default 5 minutes. */
  readonly jwtLifeMs?: Millis
  /** Life of an opaque token. Default 10 minutes. */
  readonly opaqueLifeMs?: Millis
}

/** A token as it goes out, once. */
export interface IssuedToken extends Minted {
  /** Secret. */
  readonly text: string
}

/** What an access token turned out to be, before anybody asked whether it still stands. */
export type PresentedAccess =
  | { readonly kind: 'jwt'; readonly token: AccessToken }
  | { readonly kind: 'opaque'; readonly hash: Buffer }
  | { readonly kind: 'refused'; readonly code: TokenFault }

/** A token that stands, with what its owner may do now. */
export interface LiveAccess extends Omit<ResolvedToken, 'token'> {
  readonly kind: 'jwt' | 'opaque'
  readonly token: AccessToken
}

const OPAQUE_BYTES = 32
const OPAQUE = /^at_([\w-]{43})$/
const HASH_DOMAIN = 'countersign.access.v1\0'
const JWT_LIFE = minutes(5)
const OPAQUE_LIFE = minutes(10)
const TYP = 'at+jwt'

export class AccessTokens {
  readonly #options: AccessTokensOptions
  readonly #lives: Readonly<Record<'jwt' | 'opaque', Millis>>
  readonly #jwts: OwnJwts

  constructor(options: AccessTokensOptions) {
    this.#options = options
    this.#lives = { jwt: options.jwtLifeMs ?? JWT_LIFE, opaque: options.opaqueLifeMs ?? OPAQUE_LIFE }
    this.#jwts = new OwnJwts({
      ...options,
      issuer: () => this.#issuer,
      audience: null,
      typ: TYP,
      lifeMs: this.#lives.jwt,
      requiredClaims: ['jti', 'client_id', 'tenant', 'targets'],
    })
  }

  /**
   * Makes a token, itself one of its targets, so that it can be ended alone.
   * @returns null when its session has less than a second left.
   * @throws {IDENTITY_TOKEN_KEYS_STALE} retriable, when no key may sign; {SESSION_STORE_UNAVAILABLE} for opaque ones.
   */
  async issue(grant: Grant, format: 'jwt' | 'opaque'): Promise<IssuedToken | null> {
    const { store, keys, random } = this.#options
    const minted = mint(grant, this.#lives[format], this.#options)
    if (minted === null) return null
    const { token, expiresInS } = minted
    if (format === 'jwt') {
      // What was sent a moment ago is on its way first. A thread of the pool is no help: to wake one takes longer.
      await setImmediate()
      const text = keys.signer(TYP).sign(claimsOf(this.#issuer, token))
      return { text, token, expiresInS }
    }
    const secret = random.bytes(OPAQUE_BYTES)
    const { scopeVersion: _, ...record } = token
    await store.putToken(hashOf(secret), { ...record, kind: grant.kind } satisfies Token)
    return { text: `at_${secret.toString('base64url')}`, token, expiresInS }
  }

  /** Judges a text alone: a JWT by its signature, times and issuer, an opaque token by its form. Its audience is for the caller to judge. */
  async read(text: string): Promise<PresentedAccess> {
    const opaque = opaqueHash(text)
    if (opaque) return { kind: 'opaque', hash: opaque }
    const result = await this.#jwts.verify(text)
    if (!result.ok) return { kind: 'refused', code: result.code }
    const token = tokenOf(result.claims.all)
    return token
      ? { kind: 'jwt', token: signedBy(result.keyId, token) }
      : { kind: 'refused', code: 'token_claim_missing' }
  }

  get #issuer(): string {
    const { issuer } = this.#options
    return typeof issuer === 'string' ? issuer : issuer()
  }

  /** @returns the token if it stands now, null for any other text. @throws {SESSION_STORE_UNAVAILABLE}. */
  async resolve(text: string): Promise<LiveAccess | null> {
    const { store, clock } = this.#options
    const presented = await this.read(text)
    if (presented.kind === 'refused') return null
    if (presented.kind === 'jwt') {
      const { token } = presented
      const now = await store.resolveTargets({ targets: token.targets, sub: token.sub, tenant: token.tenant })
      return now && { kind: 'jwt', token, roles: now.roles, scopeVersion: now.scopeVersion }
    }
    const found = await store.resolveToken(presented.hash, clock.now())
    if (!found) return null
    const { kind: _, ...record } = found.token
    const { roles, scopeVersion } = found
    return { kind: 'opaque', token: { ...record, scopeVersion }, roles, scopeVersion }
  }
}

/** @returns what an opaque token is kept under, null for what cannot be one. */
export function opaqueHash(text: string): Buffer | null {
  const tail = OPAQUE.exec(text)?.[1]
  if (tail === undefined) return null
  const secret = Buffer.from(tail, 'base64url')
  return secret.toString('base64url') === tail ? hashOf(secret) : null
}

function hashOf(secret: Buffer): Buffer {
  return createHash('sha256').update(HASH_DOMAIN).update(secret).digest()
}
