/** Kinds of credential as people call them, what a revocation of each hits, and how long identity lets each live. */
import type { CredentialKind, PrincipalKind, TargetKind } from '@countersign/schemas'

/** What is to be said of a kind of credential. */
export interface CredentialTerms {
  /** As a sentence begins. */
  readonly name: string
  /** Whose work it authorises; a job class that takes none of them has no sentence about it. */
  readonly principals: readonly PrincipalKind[]
  /** Kinds of target whose ending takes it. */
  readonly endedBy: ReadonlySet<TargetKind>
}

const PEOPLE: readonly PrincipalKind[] = ['user', 'service']
const PLACE: readonly TargetKind[] = ['tenant', 'subject', 'affiliation']
const LOGIN: readonly TargetKind[] = [...PLACE, 'client', 'device', 'session', 'family']

/** In the order of the schema. */
export const CREDENTIALS: Readonly<Record<CredentialKind, CredentialTerms>> = {
  session_cookie: { name: 'A stolen session cookie', principals: PEOPLE, endedBy: new Set(LOGIN) },
  jwt: {
    name: 'A stolen access token (JWT)',
    principals: PEOPLE,
    endedBy: new Set([...LOGIN, 'token', 'transaction']),
  },
  opaque_token: {
    name: 'A stolen opaque token or API session',
    principals: PEOPLE,
    endedBy: new Set([...LOGIN, 'token', 'transaction']),
  },
  webhook_signature: { name: 'A stolen webhook secret', principals: ['webhook'], endedBy: new Set(PLACE) },
  schedule_trigger: { name: 'A schedule of somebody else’s making', principals: ['schedule'], endedBy: new Set(PLACE) },
  system_event: { name: 'A system event of somebody else’s making', principals: ['system'], endedBy: new Set(PLACE) },
}

export const CREDENTIAL_KINDS: readonly CredentialKind[] = Object.keys(CREDENTIALS) as CredentialKind[]

/** How long something that is shown as one kind of credential lives when nobody revokes it; as identity tells it. */
export interface CredentialLife {
  readonly credential: CredentialKind
  /** `browser session`, `access token`, … */
  readonly name: string
  /** Milliseconds without use after which it ends; null where use does not matter. */
  readonly idleMs: number | null
  /** Milliseconds after which it ends whatever is done. */
  readonly absoluteMs: number
}

/** @returns the lives of an answer of identity's `GET /v1/lives`; null for what is none. */
export function readLives(body: unknown): readonly CredentialLife[] | null {
  const list = typeof body === 'object' && body !== null && 'lives' in body ? body.lives : null
  if (!Array.isArray(list)) return null
  return list.every(isLife) ? list : null
}

function isLife(value: unknown): value is CredentialLife {
  if (typeof value !== 'object' || value === null) return false
  const { credential, name, idleMs, absoluteMs } = value as Record<string, unknown>
  const kind = CREDENTIAL_KINDS.includes(credential as CredentialKind)
  return kind && typeof name === 'string' && (idleMs === null || isMillis(idleMs)) && isMillis(absoluteMs)
}

function isMillis(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0
}
