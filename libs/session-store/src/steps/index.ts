/** Every method of the port as a step, and the port over any store that can run steps. */
import type { SessionStore } from '../port.ts'
import * as accounts from './accounts.ts'
import { adopt } from './adopt.ts'
import * as attempts from './attempts.ts'
import * as clients from './clients.ts'
import * as codes from './codes.ts'
import * as devices from './devices.ts'
import * as endings from './endings.ts'
import * as factors from './factors.ts'
import * as families from './families.ts'
import { dropRows, type Forgotten } from './forgetting.ts'
import * as logs from './logs.ts'
import * as outbox from './outbox.ts'
import * as sessions from './sessions.ts'
import * as targets from './targets.ts'
import * as tokens from './tokens.ts'
import type { Step, Tx } from './tx.ts'

export type Method = Exclude<keyof SessionStore, 'close'>

type Answer<K extends Method> = Awaited<ReturnType<SessionStore[K]>>

type Result<K extends Method> = K extends 'dropRows'
  ? Forgotten
  : K extends 'expiredSessions'
    ? sessions.Found
    : Answer<K>

type Steps = { readonly [K in Method]: (tx: Tx, ...args: Parameters<SessionStore[K]>) => Step<Result<K>> }

/** Steps that change nothing. */
const READING = {
  account: accounts.account,
  accountByEmail: accounts.accountByEmail,
  affiliation: accounts.affiliation,
  affiliationsOf: accounts.affiliationsOf,
  tenants: accounts.tenants,
  resetCodeOwner: codes.resetCodeOwner,
  code: codes.code,
  resolveSession: sessions.resolveSession,
  session: sessions.session,
  resolveHandle: sessions.resolveHandle,
  sessionsOf: sessions.sessionsOf,
  countSessions: sessions.countSessions,
  devicesOf: devices.devicesOf,
  device: devices.device,
  factorsOf: factors.factorsOf,
  enrolment: factors.enrolment,
  stepUp: factors.stepUp,
  client: clients.client,
  clients: clients.clients,
  resolveToken: tokens.resolveToken,
  tokenKeys: tokens.tokenKeys,
  resolveTargets: targets.resolveTargets,
  target: targets.target,
  revocation: endings.revocation,
  secret: attempts.secret,
  logName: outbox.logName,
  highestSeq: outbox.highestSeq,
  pendingRows: outbox.pendingRows,
  acknowledgedRows: outbox.acknowledgedRows,
  keptRows: outbox.keptRows,
  acknowledgedPosition: outbox.acknowledgedPosition,
  bundle: outbox.bundle,
}

const STEPS: Steps = {
  ...READING,
  createAccount: accounts.createAccount,
  createAffiliation: accounts.createAffiliation,
  restoreAccount: accounts.restoreAccount,
  restoreAffiliation: accounts.restoreAffiliation,
  putResetCode: codes.putResetCode,
  putCode: codes.putCode,
  takeOnce: codes.takeOnce,
  dropExpired: codes.dropExpired,
  createSession: sessions.createSession,
  touchSession: sessions.touchSession,
  expiredSessions: sessions.expiredSessions,
  putEnrolment: factors.putEnrolment,
  addFactors: factors.addFactors,
  renameFactor: factors.renameFactor,
  replaceCodes: factors.replaceCodes,
  beginStepUp: factors.beginStepUp,
  takeAbandonedStepUps: factors.takeAbandonedStepUps,
  rotate: families.rotate,
  delivered: families.delivered,
  createClient: clients.createClient,
  updateClient: clients.updateClient,
  restoreClient: clients.restoreClient,
  putToken: tokens.putToken,
  addTokenKey: tokens.addTokenKey,
  dropTokenKeys: tokens.dropTokenKeys,
  captureVersions: targets.captureVersions,
  shareTenants: logs.shareTenants,
  end: endings.end,
  adopt,
  putSecret: attempts.putSecret,
  admitAttempt: attempts.admitAttempt,
  settleAttempt: attempts.settleAttempt,
  nameLog: outbox.nameLog,
  acknowledge: outbox.acknowledge,
  repend: outbox.repend,
  dropRows,
  putBundle: outbox.putBundle,
}

/** True for a method that only reads. */
export function isReading(method: Method): boolean {
  return method in READING
}

/** The step of a call. Refused or failed, it leaves no change in `tx`; several may share one. */
export function stepOf(tx: Tx, method: Method, args: readonly unknown[]): Step<unknown> {
  // The port types each call where it is made; here arguments arrive as the port's own.
  const step = STEPS[method] as (tx: Tx, ...args: readonly unknown[]) => Step<unknown>
  return tx.attempt(step(tx, ...args))
}

/** The port, given what runs one call as one step and answers its result. */
export function storeOver(
  run: (method: Method, args: readonly unknown[]) => Promise<unknown>,
  close: () => Promise<void>,
): SessionStore {
  const methods = Object.keys(STEPS) as Method[]
  const calls = methods.map((method) => [method, (...args: unknown[]) => run(method, args)])
  return {
    ...(Object.fromEntries(calls) as Omit<SessionStore, 'close'>),
    async expiredSessions(now, limit) {
      for (;;) {
        const { expired, more } = (await run('expiredSessions', [now, limit])) as sessions.Found
        if (expired.length > 0 || !more) return expired
      }
    },
    async dropRows(horizon, log) {
      for (let total = 0; ; ) {
        const { rows, more } = (await run('dropRows', log === undefined ? [horizon] : [horizon, log])) as Forgotten
        total += rows
        if (!more) return total
      }
    },
    close,
  }
}
