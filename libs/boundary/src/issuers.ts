/** JWTs of configured issuers: a verified token becomes an identity under that issuer's rules. */
import type { Clock, Secret } from '@countersign/kernel'
import { foreignId, MAX_FOREIGN_CHARS, SIGNER_VERSION, signerTarget } from '@countersign/revocation'
import type { Actor, PrincipalKind } from '@countersign/schemas'
import { createVerifier, type TokenClaims, type Verifier, type VerifierOptions } from '@countersign/tokens'
import { type Denial, denied } from './denial.ts'
import type { IdentityTarget, ResolvedIdentity } from './identity.ts'
import { ownIdentity } from './own-claims.ts'
import type { Presented } from './presented.ts'

/**
 * Identity itself. Its tokens name every target they depend on with its version; one that does not is refused, as is one
 * that names them without their targets.
 */
export interface OwnIssuerConfig extends Omit<VerifierOptions, 'clock'> {
  readonly identifiers: 'own'
}

/** Somebody else's issuer, and what it may say. Ids in its tokens travel as hashes, apart by issuer. */
export interface ForeignIssuerConfig extends Omit<VerifierOptions, 'clock'> {
  /** The key identity raises the signals of its ids under. To replace it: identity first, see its README. */
  readonly identifiers: { readonly hashKey: Secret }
  /** The tenant it speaks for, or the claim that names one of those allowed. */
  readonly tenant: string | { readonly claim: string; readonly allowed: readonly string[] }
  /** Scopes it may give; others in its tokens are dropped. */
  readonly allowedScopes: readonly string[]
  /** Default user. */
  readonly principal?: Extract<PrincipalKind, 'user' | 'service'>
}

/** An issuer whose tokens are accepted. */
export type IssuerConfig = OwnIssuerConfig | ForeignIssuerConfig

/** A token that was accepted. `until`: by its issuer's rules too old from then on, epoch milliseconds. */
export interface Accepted extends Presented {
  readonly ok: true
  readonly until: number
}

/** What a verified token stands for. */
export type Read = ({ readonly ok: true } & Presented) | Denial
export type Reader = (claims: TokenClaims, config: IssuerConfig) => Read

/** What holds for every JWT identity issues, whichever it is. */
export const IDENTITY_TOKENS: Pick<OwnIssuerConfig, 'identifiers' | 'algorithms' | 'maxAgeS'> = {
  identifiers: 'own',
  algorithms: ['ES256', 'EdDSA', 'RS256'],
  // They live for minutes; an older one is not its.
  maxAgeS: 3600,
}

const MAX_ACTORS = 4

/** Verifies tokens of any of the issuers. */
export class Issuers {
  readonly #issuers: ReadonlyMap<string, { config: IssuerConfig; verifier: Verifier }>
  readonly #read: Reader

  /** @throws {TOKENS_OPTIONS_INVALID} when an issuer leaves open what must be pinned. */
  constructor(configs: readonly IssuerConfig[], clock: Clock, read: Reader = accepted) {
    this.#read = read
    this.#issuers = new Map(
      configs.map((config) => [config.issuer, { config, verifier: createVerifier({ ...config, clock }) }]),
    )
  }

  async accept(token: string): Promise<Accepted | Denial> {
    // Which issuer to try is read from the unverified token; that issuer's verifier then pins it.
    const entry = this.#issuers.get(unverifiedIssuer(token))
    if (!entry) return denied('credential_invalid', 'issuer_unknown')
    const result = await entry.verifier.verify(token)
    if (result.ok) {
      const read = this.#read(result.claims, entry.config)
      const { maxAgeS, skewS = 5 } = entry.config
      if (!read.ok) return read
      const until = result.claims.issuedAt + (maxAgeS + skewS) * 1000
      if (entry.config.identifiers !== 'own') return { ...read, until }
      // Identity names its key in each. Whoever took one could leave the name out, and with it what ends its tokens.
      if (result.keyId === null) return denied('credential_invalid', 'token_key_unknown')
      return { ...read, identity: signedBy(result.keyId, read.identity), until }
    }
    if (result.code === 'token_keys_unavailable') return denied('sessions_unavailable', result.code)
    return denied(result.code === 'token_expired' ? 'credential_expired' : 'credential_invalid', result.code)
  }
}

/** What comes of identity's token ends with the key that signed it. Other issuers' names of keys may be names of several. */
function signedBy(keyId: string, identity: ResolvedIdentity): ResolvedIdentity {
  return { ...identity, targets: [...identity.targets, { ...signerTarget(keyId), version: SIGNER_VERSION }] }
}

function unverifiedIssuer(token: string): string {
  try {
    const payload: unknown = JSON.parse(Buffer.from(token.slice(0, 8192).split('.')[1] ?? '', 'base64url').toString())
    return typeof payload === 'object' && payload !== null && 'iss' in payload ? String(payload.iss) : ''
  } catch {
    return ''
  }
}

function accepted(claims: TokenClaims, config: IssuerConfig): Read {
  if (config.identifiers !== 'own') return foreignIdentity(claims, config as ForeignIssuerConfig)
  const identity = ownIdentity(claims.all, 'jwt')
  // Only an answer to a question has a position.
  if (identity === undefined || identity.position !== null) return denied('credential_invalid', 'claims_malformed')
  return { ok: true, at: claims.issuedAt, identity }
}

function foreignIdentity(claims: TokenClaims, config: ForeignIssuerConfig): Read {
  const { all, issuedAt, expiresAt } = claims
  const tenant = tenantOf(all, config)
  if (tenant === undefined) return denied('credential_invalid', 'tenant_not_allowed')
  // Half characters all become the same one as bytes, and two people one id.
  if (text(claims.sub) === undefined) return denied('credential_invalid', 'claims_malformed')
  const id = (kind: 'subject' | 'session' | 'client' | 'token', value: string): string =>
    foreignId(config.identifiers.hashKey, claims.iss, kind, value)
  const act = actorsOf(all.act, (sub) => id('subject', sub))
  if (act === undefined) return denied('credential_invalid', 'act_malformed')
  // The second it was issued in began up to a skew before this clock's.
  const version = Math.max(0, issuedAt - (config.skewS ?? 5) * 1000)
  const sub = id('subject', claims.sub)
  const client = text(all.client_id) ?? text(all.azp)
  const session = text(all.sid)
  const token = text(all.jti)
  const targets: IdentityTarget[] = [
    { kind: 'tenant', tenant, id: '', version },
    { kind: 'subject', tenant: '', id: sub, version },
    { kind: 'affiliation', tenant, id: sub, version },
  ]
  if (client) targets.push({ kind: 'client', tenant: '', id: id('client', client), version })
  if (session) targets.push({ kind: 'session', tenant: '', id: id('session', session), version })
  if (token) targets.push({ kind: 'token', tenant: '', id: id('token', token), version })
  // Whoever acts must not have been ended either.
  for (const actor of act) targets.push({ kind: 'subject', tenant: '', id: actor.sub, version })
  const given = text(all.scope)?.split(' ') ?? []
  return {
    ok: true,
    at: issuedAt,
    identity: {
      sub,
      tenant,
      principal: config.principal ?? 'user',
      act,
      credential: 'jwt',
      scopes: given.filter((scope) => config.allowedScopes.includes(scope)),
      scopeVersion: version,
      session: session ? id('session', session) : null,
      client: client ? id('client', client) : null,
      device: null,
      targets,
      authTime: authTimeOf(all.auth_time, issuedAt + (config.skewS ?? 5) * 1000),
      acr: text(all.acr) ?? null,
      amr: Array.isArray(all.amr) ? all.amr.filter((m) => text(m) !== undefined).slice(0, 16) : [],
      position: null,
      expiresAt,
    },
  }
}

/** @param latest epoch milliseconds. A time after the token was issued would count as recent for ever. */
function authTimeOf(claim: unknown, latest: number): number | null {
  const at = typeof claim === 'number' && claim > 0 ? Math.floor(claim * 1000) : null
  return at !== null && at <= latest ? at : null
}

function tenantOf(all: Readonly<Record<string, unknown>>, { tenant }: ForeignIssuerConfig): string | undefined {
  if (typeof tenant === 'string') return tenant
  const named = Object.hasOwn(all, tenant.claim) ? text(all[tenant.claim]) : undefined
  return named !== undefined && tenant.allowed.includes(named) ? named : undefined
}

/** RFC 8693 §4.1: the outermost `act` is the current actor. @returns undefined when malformed or too deep. */
function actorsOf(act: unknown, idOf: (sub: string) => string): readonly Actor[] | undefined {
  const actors: Actor[] = []
  for (let next = act; next !== undefined; next = (next as { act?: unknown }).act) {
    const sub = typeof next === 'object' && next !== null && 'sub' in next ? text(next.sub) : undefined
    if (sub === undefined || actors.length === MAX_ACTORS) return undefined
    actors.push({ sub: idOf(sub), principal: 'service' })
  }
  return actors
}

function text(value: unknown): string | undefined {
  const fits = typeof value === 'string' && value !== '' && value.length <= MAX_FOREIGN_CHARS && value.isWellFormed()
  return fits ? value : undefined
}
