/** What identity can be told, all of it through the environment. */

import { hostFields } from '@countersign/host'
import { field, type Millis } from '@countersign/kernel'
import { z } from 'zod'

export type Role = 'http' | 'notary'

const roles: z.ZodType<readonly Role[], string | undefined> = field
  .list()
  .prefault('http,notary')
  .pipe(z.array(z.enum(['http', 'notary'], 'must be http, notary or both')).readonly())

const duration = (otherwise: string, what: string): z.ZodType<Millis, string | undefined> =>
  field.duration().prefault(otherwise).describe(`${what}; default ${otherwise}`)
const flag = (what: string): z.ZodType<boolean, string | undefined> =>
  field.flag().prefault('false').describe(`${what}; default false`)

const fields = {
  ...hostFields,
  roles: roles.describe('http, notary or both; default http,notary'),
  storePath: field.text().describe("file of identity's store"),
  keysDir: field.text().describe('folder made by `identity keys init`'),
  checkpointKey: field
    .text()
    .default('checkpoint-1')
    .describe('name of the key the notary signs with; default checkpoint-1'),
  notaryId: field.text().default('notary').describe('name of this notary; default notary'),
  log: z.enum(['sqlite', 'kafka']).default('sqlite').describe('where the signals log is; default sqlite'),
  logPath: field.text().optional().describe('file of the log, for sqlite'),
  kafkaBrokers: field.list().optional().describe('host:port,…, for kafka'),
  registryUrl: field.url().optional().describe('schema registry, for kafka'),
  seed: field.secret().optional().describe('accounts and secrets to make if missing, JSON; see README'),
  epsilon: duration('250ms', 'skew tolerated between clocks; the same everywhere'),
  checkpointInterval: duration('1s', 'between checkpoints'),
  window: duration('1d', 'longest life of what a signal may have to stop, plus MAX_STALENESS and skew'),
  maxStaleness: duration('30s', 'largest staleness budget of any consumer'),
  ackDeadline: duration('1s', 'how long an answer waits for the log before it says pending'),
  sessionIdle: duration('30m', 'idle life of a session'),
  sessionAbsolute: duration('12h', 'absolute life of a session'),
  resetCodeLife: duration('15m', 'life of a password reset code'),
  sweepInterval: duration('1s', 'between sweeps for expired sessions'),
  passwordCost: field.integer({ min: 10, max: 20 }).prefault('17').describe('log2 of scrypt N; default 17'),
  trustedProxies: field.list().optional().describe('addresses whose X-Forwarded-For counts; default none'),
  insecureCookies: flag('development only: cookie `session` without Secure, so that plain HTTP works'),
}

export const identityConfig: z.ZodObject<typeof fields> = z.object(fields)
export type IdentityConfig = Readonly<z.output<typeof identityConfig>>

/** What no field can say alone. */
export function contradictions(config: IdentityConfig, nodeEnv: string | undefined): string[] {
  const wrong: string[] = []
  if (config.log === 'sqlite' && config.logPath === undefined)
    wrong.push('COUNTERSIGN_LOG_PATH: missing; sqlite needs it')
  if (config.log === 'kafka' && (config.kafkaBrokers === undefined || config.registryUrl === undefined)) {
    wrong.push('COUNTERSIGN_KAFKA_BROKERS and COUNTERSIGN_REGISTRY_URL: kafka needs both')
  }
  if (config.insecureCookies && nodeEnv === 'production') {
    wrong.push('COUNTERSIGN_INSECURE_COOKIES: not with NODE_ENV=production')
  }
  if (config.sessionIdle > config.sessionAbsolute) {
    wrong.push('COUNTERSIGN_SESSION_IDLE: at most COUNTERSIGN_SESSION_ABSOLUTE')
  }
  if (config.maxStaleness < 3 * config.checkpointInterval + config.epsilon) {
    wrong.push('COUNTERSIGN_MAX_STALENESS: at least three checkpoint intervals and epsilon')
  }
  // An envelope opens for the window less these two.
  if (config.window <= config.maxStaleness + config.epsilon) {
    wrong.push('COUNTERSIGN_WINDOW: above COUNTERSIGN_MAX_STALENESS and epsilon together')
  }
  return wrong
}
