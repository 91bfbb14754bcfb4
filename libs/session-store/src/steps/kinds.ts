/** The kinds of records kept: their ids, what they refer to and the lists they stand in. */
import { days } from '@countersign/kernel'
import type { LogPosition, SignalTarget } from '@countersign/schemas'
import type { BundleRecord, LogName, LogOwner, OutboxRow } from '../outbox.ts'
import type {
  Account,
  Affiliation,
  AuthorizationCode,
  Client,
  Device,
  Enrolment,
  Factor,
  Revocation,
  Secret,
  Session,
  StepUp,
  Token,
  TokenKey,
  VersionedTarget,
} from '../records.ts'
import { type Entry, indexOf, type Kind, keyOf, kind } from './layout.ts'

export interface EmailRecord {
  readonly email: string
  readonly sub: string
}

export interface TenantRecord {
  readonly tenant: string
}

export interface TargetRecord extends SignalTarget {
  readonly version: number
  readonly endedBelow: number
  /** A credential that has no other word of its end may live until then; 0 for none. */
  readonly neededUntil: number
}

export interface SessionRecord extends Session {
  /** Null for those with refresh tokens. */
  readonly secretHash: Buffer | null
  readonly endedAt: number | null
}

/** Which session or device a secret belongs to. */
export interface CredentialRecord {
  readonly hash: Buffer
  readonly handle: string
}

export interface DeviceRecord extends Device {
  readonly secretHash: Buffer
  /** Present once it is lost. */
  readonly lostAt?: number
}

/** Which factor has a credential id. */
export interface FactorCredentialRecord {
  readonly id: string
  readonly handle: string
}

export interface TokenRecord extends Token {
  readonly hash: Buffer
}

export interface CodeRecord extends AuthorizationCode {
  readonly hash: Buffer
}

export interface ResetRecord {
  readonly sub: string
  readonly codeHash: Buffer
  readonly expiresAt: number
}

export interface ResetCodeRecord {
  readonly hash: Buffer
  readonly sub: string
}

export interface OnceRecord {
  readonly key: string
  readonly expiresAt: number
}

export interface AttemptRecord {
  readonly key: string
  readonly attempts: number
  readonly restsUntil: number
  readonly lastAt: number
}

export interface SecretNameRecord {
  readonly hash: Buffer
  readonly name: string
}

export interface RowRecord extends Omit<OutboxRow, 'state'> {
  readonly position: LogPosition | null
  /** Name of the log it is for; absent for `main`. */
  readonly log?: string
}

export interface SignalRecord {
  readonly id: Buffer
  readonly seq: number
}

export type RevocationRecord = Omit<Revocation, 'state' | 'position' | 'positions'>

export interface LogRecord extends LogName {
  /** Highest offset acknowledged on it. */
  readonly acknowledged: number | null
  /** Absent for `main`. */
  readonly log?: string
}

export interface KeptBundle extends BundleRecord {
  /** Name of the log it is for; absent for `main`. */
  readonly log?: string
}

export interface LogsRecord {
  readonly logs: readonly LogOwner[]
}

export interface SequenceRecord {
  readonly highest: number
}

export const ACCOUNT: Kind<Account> = kind('account', (a) => [a.sub], { bytes: ['password.salt', 'password.hash'] })
export const EMAIL: Kind<EmailRecord> = kind('email', (e) => [e.email], { refs: (e) => [keyOf(ACCOUNT, e.sub)] })
export const AFFILIATION: Kind<Affiliation> = kind('affiliation', (a) => [a.tenant, a.sub], {
  entries: (a) => [[indexOf('affiliations', a.sub), 0]],
})
export const TENANT: Kind<TenantRecord> = kind('tenant', (t) => [t.tenant], { entries: () => [['tenants', 0]] })

const PASSING: ReadonlySet<string> = new Set(['session', 'family', 'token', 'transaction'])

export const TARGET: Kind<TargetRecord> = kind('target', (t) => [t.kind, t.tenant, t.id], {
  // What these stood for is never issued again, so they need not stay for ever.
  entries: (t) => (PASSING.has(t.kind) ? [['targets-passing', Math.max(t.version, t.neededUntil)]] : []),
})

export const SESSION: Kind<SessionRecord> = kind('session', (s) => [s.handle], {
  bytes: ['secretHash', 'refresh.nonce'],
  refs: (s) => targetRefs(s.targets),
  entries: (s): Entry[] =>
    s.endedAt === null
      ? [
          [indexOf('sessions', s.sub), s.createdAt],
          ['sessions-expiring', expiryOf(s)],
        ]
      : [['sessions-ended', s.endedAt]],
})
export const CREDENTIAL: Kind<CredentialRecord> = kind('credential', (c) => [c.hash], {
  bytes: ['hash'],
  refs: (c) => [keyOf(SESSION, c.handle)],
})
export const DEVICE: Kind<DeviceRecord> = kind('device', (d) => [d.handle], {
  bytes: ['secretHash'],
  entries: (d) => [
    [indexOf('devices', d.sub), d.createdAt],
    ['devices-passing', passingOf(d)],
  ],
})
export const DEVICE_CREDENTIAL: Kind<CredentialRecord> = kind('device-credential', (c) => [c.hash], {
  bytes: ['hash'],
  refs: (c) => [keyOf(DEVICE, c.handle)],
})

export const FACTOR: Kind<Factor> = kind('factor', (f) => [f.handle], {
  bytes: ['totp.sealedSecret', 'webauthn.publicKey'],
  entries: (f) => [[indexOf('factors', f.sub), f.createdAt]],
})
export const FACTOR_CREDENTIAL: Kind<FactorCredentialRecord> = kind('factor-credential', (c) => [c.id])
export const ENROLMENT: Kind<Enrolment> = kind('enrolment', (e) => [e.session], {
  bytes: ['sealedSecret', 'challenge'],
  entries: (e) => [['expiring', e.expiresAt]],
})
export const STEP_UP: Kind<StepUp> = kind('step-up', (s) => [s.session], {
  bytes: ['challenge'],
  entries: (s) => [['step-ups', s.expiresAt]],
})

export const CLIENT: Kind<Client> = kind('client', (c) => [c.id], {
  bytes: ['secretHash'],
  entries: () => [['clients', 0]],
})
export const TOKEN: Kind<TokenRecord> = kind('token', (t) => [t.hash], {
  bytes: ['hash'],
  refs: (t) => targetRefs(t.targets),
  entries: (t) => [['expiring', t.expiresAt]],
})
export const TOKEN_KEY: Kind<TokenKey> = kind('token-key', (k) => [k.kid], {
  bytes: ['sealedPrivate'],
  entries: (k) => [['token-keys', k.createdAt]],
})
export const CODE: Kind<CodeRecord> = kind('code', (c) => [c.hash], {
  bytes: ['hash'],
  entries: (c) => [['expiring', c.expiresAt]],
})
export const ONCE: Kind<OnceRecord> = kind('once', (o) => [o.key], { entries: (o) => [['expiring', o.expiresAt]] })

export const RESET: Kind<ResetRecord> = kind('reset', (r) => [r.sub], {
  bytes: ['codeHash'],
  entries: (r) => [['expiring', r.expiresAt]],
})
export const RESET_CODE: Kind<ResetCodeRecord> = kind('reset-code', (r) => [r.hash], {
  bytes: ['hash'],
  refs: (r) => [keyOf(RESET, r.sub)],
})
export const ATTEMPT: Kind<AttemptRecord> = kind('attempt', (a) => [a.key], {
  entries: (a) => [['attempts', a.lastAt]],
})
export const SECRET: Kind<Secret> = kind('secret', (s) => [s.name], { bytes: ['hash'] })
export const SECRET_NAME: Kind<SecretNameRecord> = kind('secret-name', (s) => [s.hash], {
  bytes: ['hash'],
  refs: (s) => [keyOf(SECRET, s.name)],
})

export const ROW: Kind<RowRecord> = kind('row', (r) => [r.seq], {
  bytes: ['id', 'body', 'signature'],
  entries: (r) => [
    [rowsOf('rows', r.log), r.seq],
    r.position === null ? [rowsOf('rows-pending', r.log), r.seq] : [rowsOf('rows-acknowledged', r.log), r.floor],
  ],
})
export const SIGNAL: Kind<SignalRecord> = kind('signal', (s) => [s.id], { bytes: ['id'] })
export const REVOCATION: Kind<RevocationRecord> = kind('revocation', (r) => [r.id], {
  bytes: ['id', 'request'],
  refs: (r) => r.seqs.map((seq) => keyOf(ROW, seq)),
  entries: (r) => [['revocations', r.createdAt]],
})
export const LOG: Kind<LogRecord> = kind('log', ({ log }) => (log === undefined ? [] : [log]))
export const LOGS: Kind<LogsRecord> = kind('logs', () => [])
export const SEQUENCE: Kind<SequenceRecord> = kind('sequence', () => [])
export const BUNDLE: Kind<KeptBundle> = kind('bundle', ({ log }) => (log === undefined ? [] : [log]), {
  bytes: ['body', 'signature'],
})

/** @returns the name of a list of rows of one log. */
export function rowsOf(name: 'rows' | 'rows-pending' | 'rows-acknowledged', log: string | undefined): string {
  return log === undefined ? name : indexOf(name, log)
}

// No browser keeps a cookie longer (RFC 6265bis §5.5): whoever has not come by then cannot show it any more.
const DEVICE_KEPT: number = days(400)

/** From when on a device may be forgotten, once the horizon is there. */
export function passingOf({ lostAt, lastSeenAt }: DeviceRecord): number {
  return lostAt ?? lastSeenAt + DEVICE_KEPT
}

/** When time ends a session, whatever else does. */
export function expiryOf({ idleExpiresAt, absoluteExpiresAt }: Session): number {
  return Math.min(idleExpiresAt, absoluteExpiresAt)
}

/** @returns keys of all records that say whether a credential with these targets still stands. */
export function targetRefs(targets: readonly VersionedTarget[]): string[] {
  return targets.flatMap((t) => {
    const key = keyOf(TARGET, t.kind, t.tenant, t.id)
    if (t.kind === 'subject') return [key, keyOf(ACCOUNT, t.id)]
    if (t.kind === 'affiliation') return [key, keyOf(AFFILIATION, t.tenant, t.id)]
    if (t.kind === 'session' || t.kind === 'family') return [key, keyOf(SESSION, t.id)]
    return [key]
  })
}
