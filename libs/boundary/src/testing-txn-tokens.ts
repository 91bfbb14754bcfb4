/** For tests: transaction tokens of both makers, whatever they say. */
import { generateKeyPairSync, type JsonWebKey, sign } from 'node:crypto'
import type { TxnTokenClaims } from '@countersign/envelope'
import { testAuthority } from '@countersign/envelope/testing'
import type { BoundaryIdentity } from './identity.ts'
import type { OwnIssuerConfig } from './issuers.ts'
import { cookieRequest, NOW, OWN_CLAIMS, requestOf, type Stand } from './testing.ts'
import type { TxnTokenRequest } from './txn-tokens.ts'

export const txnTokens: { readonly trustDomain: string } = { trustDomain: 'services.example' }

const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
export const IDENTITY_KEY: JsonWebKey = publicKey.export({ format: 'jwk' })
/** Identity as the other maker of such tokens. */
export const IDENTITY: OwnIssuerConfig = {
  issuer: OWN_CLAIMS.iss,
  audience: txnTokens.trustDomain,
  algorithms: ['ES256'],
  typ: 'txntoken+jwt',
  maxAgeS: 300,
  keys: { keys: [{ ...IDENTITY_KEY, kid: 'identity-1' }] },
  identifiers: 'own',
}

const { iss, ...own } = OWN_CLAIMS
export const MADE_BY_BOUNDARY: TxnTokenClaims & Pick<typeof OWN_CLAIMS, 'targets'> = {
  ...own,
  aud: txnTokens.trustDomain,
  iat: NOW / 1000,
  exp: NOW / 1000 + 60,
  tenant: 'acme',
  txn: 'txn_1',
  req_wl: 'spa',
  targets: [...OWN_CLAIMS.targets, ['transaction', '', 'txn_1', NOW]],
  position: { log_id: 'log-1', offset: 41 },
}
export const MADE_BY_IDENTITY: Readonly<Record<string, unknown>> = { ...MADE_BY_BOUNDARY, iss, position: undefined }

const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')

export function byIdentity(claims: object, header: object = {}): string {
  const input = `${part({ alg: 'ES256', kid: 'identity-1', typ: 'txntoken+jwt', ...header })}.${part(claims)}`
  const key = { key: privateKey, dsaEncoding: 'ieee-p1363' } as const
  return `${input}.${sign('sha256', Buffer.from(input), key).toString('base64url')}`
}

export function byBoundary(claims: object, header: object = {}): string {
  const input = `${part({ alg: 'EdDSA', typ: 'txntoken+jwt', kid: 'env-1', ...header })}.${part(claims)}`
  return `${input}.${testAuthority().keys.envelope.sign(Buffer.from(input)).toString('base64url')}`
}

export function shown(text: string): ReturnType<typeof requestOf> {
  return requestOf([['Txn-Token', text]])
}

export async function identityOf(from: Stand, request = cookieRequest): Promise<BoundaryIdentity> {
  const admission = await from.boundary.admit(request)
  if (!admission.ok) throw new Error(`${admission.code} ${admission.detail}`)
  return admission.identity
}

/** @returns `ok`, or the denial's code and detail. */
export async function codeOf(from: Stand, text: string): Promise<string> {
  const admission = await from.boundary.admit(shown(text))
  return admission.ok ? 'ok' : [admission.code, admission.detail].join(' ').trim()
}

export function tokenOf(from: Stand, identity: BoundaryIdentity, request?: TxnTokenRequest): string {
  const token = from.boundary.txnToken(identity, request)
  if (!token.ok) throw new Error(token.code)
  return token.text
}
