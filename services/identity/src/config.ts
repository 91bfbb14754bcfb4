/** What identity can be told, all of it through the environment. */

import { MAX_SUCCESSIONS } from '@countersign/envelope'
import { hostFields, signalsLogsField } from '@countersign/host'
import { field, type Millis, minutes } from '@countersign/kernel'
import { MAIN_LOG } from '@countersign/schemas'
import { z } from 'zod'
import { type RelyingPartyTerms, relyingPartyFaults } from './factors/relying-party.ts'
import { audience } from './oauth/client-terms.ts'
import type { ForeignIdsOptions } from './people/foreign.ts'
import { SESSION_KINDS, type SessionKinds } from './sessions/kinds.ts'

export type Role = 'http' | 'notary'

const roles: z.ZodType<readonly Role[], string | undefined> = field
  .list()
  .prefault('http,notary')
  .pipe(z.array(z.enum(['http', 'notary'], 'must be http, notary or both')).readonly())

const duration = (otherwise: string, what: string): z.ZodType<Millis, string | undefined> =>
  field.duration().prefault(otherwise).describe(`${what}; default ${otherwise}`)
const flag = (what: string): z.ZodType<boolean, string | undefined> =>
  field.flag().prefault('false').describe(`${what}; default false`)

// Credentials in an address end up in process lists and logs.
const redisAddress = z.string().refine((text) => {
  if (!/^rediss?:\/\//.test(text) || !URL.canParse(text)) return false
  const { username, password } = new URL(text)
  return username === '' && password === ''
}, 'must be redis://host:port or rediss://host:port, without credentials: these are REDIS_USERNAME and REDIS_PASSWORD')

const storeFields = {
  store: z.enum(['sqlite', 'redis']).default('sqlite').describe("where identity's store is; default sqlite"),
  storePath: field.text().optional().describe('file of the store, for sqlite'),
  redisUrl: redisAddress.optional().describe('address of Redis or Valkey, for redis; rediss:// with TLS'),
  redisUsername: field.text().optional().describe('ACL user there'),
  redisPassword: field.secret().optional().describe('its password'),
  redisPrefix: z
    .string()
    .regex(/^[\w.:-]{1,64}$/, 'must be 1 to 64 letters, digits, -, _, . or :')
    .default('countersign')
    .describe('names this store among others in the same Redis; default countersign'),
  storeTimeout: duration('1s', 'how long a call of the store on Redis may take'),
}

/** Where the store is. */
export const storeConfig: z.ZodObject<typeof storeFields> = z.object(storeFields)
export type StoreConfig = Readonly<z.output<typeof storeConfig>>

/** What no field of the store can say alone. */
export function storeContradictions(config: StoreConfig): string[] {
  if (config.store === 'sqlite' && config.storePath === undefined)
    return ['COUNTERSIGN_STORE_PATH: missing; sqlite needs it']
  if (config.store === 'redis' && config.redisUrl === undefined)
    return ['COUNTERSIGN_REDIS_URL: missing; redis needs it']
  return []
}

// Ids can be guessed; a key that can be guessed too would tell them.
const foreignIdKey = field
  .secret()
  .refine((key) => key.reveal().length >= 32, 'must have at least 32 characters')
  .optional()

const fields = {
  ...hostFields,
  ...storeFields,
  roles: roles.describe('http, notary or both; default http,notary'),
  keysDir: field.text().describe('folder made by `identity keys init`'),
  checkpointKey: field
    .text()
    .default('checkpoint-1')
    .describe('name of the key the notary signs with; default checkpoint-1'),
  notaryLogs: field.list().optional().describe('signals logs this notary writes checkpoints of; default all'),
  notaryId: field.text().default('notary').describe('name of this notary; default notary'),
  log: z.enum(['sqlite', 'kafka']).default('sqlite').describe('where the signals log is; default sqlite'),
  logPath: field.text().optional().describe('file of the log, for sqlite'),
  kafkaBrokers: field.list().optional().describe('host:port,…, for kafka'),
  registryUrl: field.url().optional().describe('schema registry, for kafka'),
  signalsLogs: signalsLogsField,
  seed: field.secret().optional().describe('accounts and secrets to make if missing, JSON; see README'),
  epsilon: duration('250ms', 'skew tolerated between clocks; the same everywhere'),
  checkpointInterval: duration('1s', 'between checkpoints'),
  window: duration('1d', 'longest life of what a signal may have to stop, plus MAX_STALENESS and skew'),
  maxStaleness: duration('30s', 'largest staleness budget of any consumer'),
  ackDeadline: duration('1s', 'how long an answer waits for the log before it says pending'),
  sessionIdle: duration('30m', 'idle life of a browser session'),
  sessionAbsolute: duration('12h', 'absolute life of a browser session'),
  adminIdle: duration('15m', "idle life of an administrator's session"),
  adminAbsolute: duration('4h', "absolute life of an administrator's session"),
  apiIdle: duration('30d', 'idle life of an API session'),
  apiAbsolute: duration('90d', 'absolute life of an API session'),
  familyIdle: duration('14d', 'idle life of a family of refresh tokens'),
  familyAbsolute: duration('30d', 'absolute life of a family of refresh tokens'),
  deviceIdle: duration('60d', 'idle life of a family of a device'),
  deviceAbsolute: duration('180d', 'absolute life of a family of a device'),
  newDevice: z
    .enum(['record', 'reauthenticate'])
    .default('record')
    .describe('reauthenticate: on a device not seen before, acts that give authority ask once more; default record'),
  issuer: z
    .string()
    .refine(isIssuer, 'must be an http or https address without query, fragment, user or slash at its end')
    .optional()
    .describe('address that clients and tokens know this server by; default http://HTTP_HOST:HTTP_PORT'),
  foreignIssuers: field
    .list()
    .optional()
    .describe('other identity providers whose ids may be revoked, exactly as in their tokens; default none'),
  foreignIdKey: foreignIdKey.describe('key that ids of other providers are hashed with, as at boundaries; use _FILE'),
  foreignIdKeyBeside: foreignIdKey.describe('a second one, while the key is being replaced; use _FILE'),
  accessTokenLife: duration('5m', 'life of a self-contained access token; less than WINDOW'),
  opaqueTokenLife: duration('10m', 'life of an opaque access token'),
  refreshGrace: duration('10s', 'how long after its answer a used refresh token gives that answer again'),
  codeLife: duration('1m', 'life of an authorization code'),
  trustDomain: audience
    .optional()
    .describe('the services that trust one another, as Txn-Tokens name them; default the issuer'),
  transactionTokenLife: duration('5m', 'life of a Txn-Token; at most 5m'),
  successorKey: field
    .text()
    .optional()
    .describe(
      'name of the key in KEYS_DIR, of use envelope, that signs successors of envelopes; default none are made',
    ),
  successorLife: duration('1h', 'life of a successor'),
  successorLimit: field
    .integer({ min: 1, max: MAX_SUCCESSIONS })
    .prefault('8')
    .describe('successors of one piece of work; default 8'),
  workLife: field.duration().optional().describe('life of work from its first envelope on; default what WINDOW allows'),
  tokenAlgorithm: z
    .enum(['ES256', 'EdDSA', 'RS256'])
    .default('ES256')
    .describe('ES256, EdDSA or RS256: what access tokens are signed with; default ES256'),
  passkeyDomain: field
    .text()
    .optional()
    .describe('domain that passkeys are bound to, for ever; default the host of ISSUER'),
  passkeyOrigins: field.list().optional().describe('origins whose pages may use them; default that of ISSUER'),
  resetCodeLife: duration('15m', 'life of a password reset code'),
  stepUpLife: duration('10m', 'how long a step-up, or the enrolment of a factor, waits for its person'),
  sweepInterval: duration('1s', 'between sweeps for expired sessions'),
  passwordCost: field.integer({ min: 10, max: 20 }).prefault('17').describe('log2 of scrypt N; default 17'),
  trustedProxies: field.list().optional().describe('addresses whose X-Forwarded-For counts; default none'),
  insecureCookies: flag('development only: cookie `session` without Secure, so that plain HTTP works'),
}

export const identityConfig: z.ZodObject<typeof fields> = z.object(fields)
export type IdentityConfig = Readonly<z.output<typeof identityConfig>>

/** The rules of each kind of session, with the lives configured. */
export function sessionKinds(config: IdentityConfig): SessionKinds {
  const { browser, admin, api, family, device } = SESSION_KINDS
  return {
    browser: { ...browser, idleMs: config.sessionIdle, absoluteMs: config.sessionAbsolute },
    admin: { ...admin, idleMs: config.adminIdle, absoluteMs: config.adminAbsolute },
    api: { ...api, idleMs: config.apiIdle, absoluteMs: config.apiAbsolute },
    family: { ...family, idleMs: config.familyIdle, absoluteMs: config.familyAbsolute },
    device: { ...device, idleMs: config.deviceIdle, absoluteMs: config.deviceAbsolute },
  }
}

/** The issuer identifier. */
export function issuerOf({ issuer, httpHost, httpPort }: IdentityConfig): string {
  return issuer ?? new URL(`http://${httpHost.includes(':') ? `[${httpHost}]` : httpHost}:${httpPort || 80}`).origin
}

/** Where passkeys are bound to. */
export function passkeyTerms(config: IdentityConfig): RelyingPartyTerms {
  return { issuer: issuerOf(config), domain: config.passkeyDomain, origins: config.passkeyOrigins }
}

/** Whose ids may be revoked besides our own, and under which keys. */
export function foreignTerms(config: IdentityConfig): ForeignIdsOptions {
  const keys = [config.foreignIdKey, config.foreignIdKeyBeside].filter((key) => key !== undefined)
  return { issuers: config.foreignIssuers ?? [], keys }
}

function isIssuer(text: string): boolean {
  if (!URL.canParse(text) || text.endsWith('/')) return false
  const { protocol, origin, pathname } = new URL(text)
  return (protocol === 'https:' || protocol === 'http:') && text === origin + (pathname === '/' ? '' : pathname)
}

const PASSKEY_FAULTS = {
  domain: 'COUNTERSIGN_PASSKEY_DOMAIN: a domain, no address',
  origins:
    'COUNTERSIGN_PASSKEY_ORIGINS: https origins, or http of localhost, of COUNTERSIGN_PASSKEY_DOMAIN or below it',
}

/** What no field can say alone. */
export function contradictions(config: IdentityConfig, nodeEnv: string | undefined): string[] {
  const wrong = storeContradictions(config)
  if (config.log === 'sqlite' && config.logPath === undefined)
    wrong.push('COUNTERSIGN_LOG_PATH: missing; sqlite needs it')
  if (config.log === 'kafka' && (config.kafkaBrokers === undefined || config.registryUrl === undefined)) {
    wrong.push('COUNTERSIGN_KAFKA_BROKERS and COUNTERSIGN_REGISTRY_URL: kafka needs both')
  }
  const logs = [MAIN_LOG, ...config.signalsLogs.map(({ name }) => name)]
  const unknown = config.notaryLogs?.find((name) => !logs.includes(name))
  if (unknown !== undefined) wrong.push(`COUNTERSIGN_NOTARY_LOGS: ${unknown} is not one of ${logs.join(', ')}`)
  if (config.insecureCookies && nodeEnv === 'production') {
    wrong.push('COUNTERSIGN_INSECURE_COOKIES: not with NODE_ENV=production')
  }
  for (const kind of ['session', 'admin', 'api', 'family', 'device'] as const) {
    const name = `COUNTERSIGN_${kind.toUpperCase()}`
    if (config[`${kind}Idle`] > config[`${kind}Absolute`]) wrong.push(`${name}_IDLE: at most ${name}_ABSOLUTE`)
  }
  if (nodeEnv === 'production' && !config.issuer?.startsWith('https://') && config.roles.includes('http')) {
    wrong.push('COUNTERSIGN_ISSUER: an https address with NODE_ENV=production')
  }
  for (const term of relyingPartyFaults(passkeyTerms(config))) wrong.push(PASSKEY_FAULTS[term])
  if ((config.foreignIssuers === undefined) !== (config.foreignIdKey === undefined))
    wrong.push('COUNTERSIGN_FOREIGN_ISSUERS and COUNTERSIGN_FOREIGN_ID_KEY: both or neither')
  if (config.foreignIdKeyBeside !== undefined && config.foreignIdKey?.reveal() === config.foreignIdKeyBeside.reveal())
    wrong.push('COUNTERSIGN_FOREIGN_ID_KEY_BESIDE: is COUNTERSIGN_FOREIGN_ID_KEY')
  if (config.foreignIdKeyBeside !== undefined && config.foreignIdKey === undefined)
    wrong.push('COUNTERSIGN_FOREIGN_ID_KEY_BESIDE: needs COUNTERSIGN_FOREIGN_ID_KEY')
  if (config.accessTokenLife >= config.window) wrong.push('COUNTERSIGN_ACCESS_TOKEN_LIFE: less than COUNTERSIGN_WINDOW')
  if (config.transactionTokenLife > minutes(5)) wrong.push('COUNTERSIGN_TRANSACTION_TOKEN_LIFE: at most 5m')
  if (config.transactionTokenLife >= config.window)
    wrong.push('COUNTERSIGN_TRANSACTION_TOKEN_LIFE: less than COUNTERSIGN_WINDOW')
  if (config.maxStaleness < 3 * config.checkpointInterval + config.epsilon) {
    wrong.push('COUNTERSIGN_MAX_STALENESS: at least three checkpoint intervals and epsilon')
  }
  // An envelope opens for the window less these two.
  if (config.window <= config.maxStaleness + config.epsilon) {
    wrong.push('COUNTERSIGN_WINDOW: above COUNTERSIGN_MAX_STALENESS and epsilon together')
  }
  return wrong
}
