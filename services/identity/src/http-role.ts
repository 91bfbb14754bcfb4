/** The http role: issues and ends authority, delivers signals, answers over HTTP. */
import type { Readiness } from '@countersign/host'
import type { Journey } from '@countersign/journey'
import type { Clock } from '@countersign/kernel'
import { type FollowedLogs, followLogs } from '@countersign/replica'
import type { SessionStore } from '@countersign/session-store'
import type { Logger } from '@countersign/telemetry'
import cookie from '@fastify/cookie'
import type { FastifyInstance } from 'fastify'
import { Authority } from './authority.ts'
import { foreignTerms, issuerOf, passkeyTerms, sessionKinds } from './config.ts'
import { countFromNought } from './counted-from-nought.ts'
import { Factors } from './factors/factors.ts'
import { Passkeys } from './factors/passkeys.ts'
import { RecoveryCodes } from './factors/recovery-codes.ts'
import { relyingPartyOf } from './factors/relying-party.ts'
import { StepUps } from './factors/step-ups.ts'
import { TotpSecrets } from './factors/totp.ts'
import { WebAuthn } from './factors/webauthn.ts'
import { adminRoutes } from './http/admin-routes.ts'
import { browserRoutes } from './http/browser-routes.ts'
import { clientRoutes } from './http/client-routes.ts'
import { Cookies } from './http/cookies.ts'
import { factorRoutes } from './http/factor-routes.ts'
import { Guard, isCrossSite } from './http/guard.ts'
import { keyRoutes } from './http/key-routes.ts'
import { livesRoutes } from './http/lives-routes.ts'
import { oauthRoutes } from './http/oauth-routes.ts'
import { passkeyRoutes } from './http/passkey-routes.ts'
import { personRoutes } from './http/person-routes.ts'
import { replayRoutes } from './http/replay-routes.ts'
import { problem } from './http/replies.ts'
import { revocationRoutes } from './http/revocation-routes.ts'
import { securityRoutes } from './http/security-routes.ts'
import { serviceRoutes } from './http/service-routes.ts'
import { sessionRoutes } from './http/session-routes.ts'
import { stepUpRoutes } from './http/step-up-routes.ts'
import { Welcome } from './http/welcome.ts'
import { readSigningKey, readStoreSecrets } from './key-files.ts'
import { logClock } from './log/log-clock.ts'
import { Deliveries, Delivery } from './log/outbox.ts'
import { type OwnView, ownView, signalKeyInForce } from './log/own-view.ts'
import { repairer } from './log/repair.ts'
import { Replays } from './log/replays.ts'
import { openOAuth } from './oauth/service.ts'
import { type Closers, logsOf, type Parts } from './parts.ts'
import { Accounts } from './people/accounts.ts'
import { Administration } from './people/administration.ts'
import { ForeignIds } from './people/foreign.ts'
import { GRANTS } from './people/grants.ts'
import { passwords as makePasswords } from './people/passwords.ts'
import { applySeed, parseSeed } from './seed.ts'
import { SessionCount } from './session-count.ts'
import { ApiSessions } from './sessions/api-sessions.ts'
import { Impersonations } from './sessions/impersonations.ts'
import { Logins } from './sessions/logins.ts'
import { SessionEndings } from './sessions/session-endings.ts'
import { Sessions } from './sessions/sessions.ts'
import { SigningKeys } from './signing-keys.ts'
import { Successors } from './successors.ts'
import { Sweeper } from './sweeper.ts'

export interface HttpRole {
  readonly readiness: () => Promise<Readiness>
  readonly mount: (app: FastifyInstance) => Promise<void>
  readonly sweeper: Sweeper
}

/** Starts everything of the role but the server. */
export async function startHttpRole(parts: Parts, journey: Journey, closers: Closers): Promise<HttpRole> {
  const { config, catalogue, log, store, random, logger, metrics, rootKeys } = parts
  const epsilonMs = config.epsilon
  countFromNought(metrics)
  const replica = followLogs({
    log,
    catalogue,
    rootKeys,
    clock: parts.clock,
    random,
    logger,
    metrics,
    consumer: 'identity',
    epsilonMs,
    history: 'verify',
  })
  closers.push(() => replica.stop())
  const clock = logClock(parts.clock, replica, epsilonMs)
  await replica.start()
  const view = ownView(replica, clock, catalogue)

  const delivery = deliveryOf(parts, replica, clock, closers)

  const passwords = makePasswords({ random, cost: config.passwordCost })
  const secrets = readStoreSecrets(config.keysDir, random)
  const totp = new TotpSecrets({ secrets, random })
  if (config.seed) {
    const seed = parseSeed(config.seed.reveal())
    const made = await applySeed(seed, { store, passwords, totp, random, now: clock.now() })
    logger.info({ made }, 'seeded')
  }

  const planted = parts.raisesOf && { raisesOf: parts.raisesOf }
  const repair = repairer({ store, log, catalogue, view, logger, clock, delivery, ...planted })
  const kinds = sessionKinds(config)
  const base = {
    store,
    view,
    delivery,
    clock,
    random,
    logger,
    metrics,
    journey,
    repair,
    passwords,
    kinds,
    grants: GRANTS,
  }
  const authority = new Authority({ ...base, ackDeadlineMs: config.ackDeadline, ...planted })
  const sessions = new Sessions({ ...base, authority })
  const sessionEndings = new SessionEndings({ ...base, authority })
  const administration = new Administration({ ...base, authority, resetCodeMs: config.resetCodeLife })
  const { newDevice } = config
  const oauth = await openOAuth({
    ...base,
    authority,
    sessions,
    newDevice,
    secrets,
    boundaryKeys: view,
    epsilonMs,
    terms: {
      issuer: issuerOf(config),
      algorithm: config.tokenAlgorithm,
      accessTokenMs: config.accessTokenLife,
      opaqueTokenMs: config.opaqueTokenLife,
      refreshGraceMs: config.refreshGrace,
      codeMs: config.codeLife,
      trustDomain: config.trustDomain ?? issuerOf(config),
      transactionTokenMs: config.transactionTokenLife,
    },
  })
  closers.push(() => oauth.stop())
  const waitMs = config.stepUpLife
  const codes = new RecoveryCodes({ secrets, random })
  const service = new URL(oauth.issuer).host
  const factors = new Factors({ ...base, authority, totp, codes, newDevice, service, waitMs })
  const logins = new Logins({ ...base, sessions })
  const stepUps = new StepUps({ ...base, logins, totp, codes, waitMs })
  const party = relyingPartyOf(passkeyTerms(config))
  const passkeys = party && new Passkeys({ ...base, factors, stepUps, webauthn: new WebAuthn(party), waitMs })
  const withdrawnWithinMs = config.ackDeadline
  const signingKeys = new SigningKeys({ ...base, authority, tokenKeys: oauth.keys, withdrawnWithinMs })
  const { sweepInterval: everyMs, window: windowMs } = config
  const count = new SessionCount(base)
  const sweeper = new Sweeper({
    ...base,
    sessionEndings,
    view: replica,
    everyMs,
    windowMs,
    also: [() => oauth.keys.tend(), () => stepUps.sweep(), () => count.tend(), () => signingKeys.tend()],
  })

  delivery.start()
  sweeper.start()
  closers.push(() => sweeper.stop())
  const stopping = new AbortController()
  const checked = repairOnceStarted(replica, view, repair, stopping.signal, logger)
  closers.push(() => {
    stopping.abort()
    return checked
  })

  if (config.insecureCookies) logger.warn({}, 'cookies are sent without Secure: for development only')
  const cookies = new Cookies({ secure: !config.insecureCookies })
  const successors = new Successors({
    ...base,
    sessions,
    epsilonMs,
    key: config.successorKey === undefined ? null : readSigningKey(config.keysDir, config.successorKey),
    terms: { lifeMs: config.successorLife, most: config.successorLimit, workMs: config.workLife ?? null },
  })
  const guard = new Guard({ store, sessions, cookies, factors })
  const welcome = new Welcome({ cookies, clock })
  const made = { logins, factors, stepUps, passkeys, welcome, oauth }
  const routed = { ...base, ...made, authority, sessions, sessionEndings, administration, successors, guard, cookies }
  const mount = async (app: FastifyInstance): Promise<void> => {
    // Fastify reads text/plain too, which any site's form can send without asking.
    app.removeContentTypeParser('text/plain')
    await app.register(cookie)
    app.addHook('onRequest', async (request, reply) => {
      reply.header('cache-control', 'no-store')
      if (isCrossSite(request)) return problem(reply, 'cross_site')
    })
    await app.register(browserRoutes, routed)
    await app.register(stepUpRoutes, routed)
    await app.register(passkeyRoutes, routed)
    await app.register(factorRoutes, routed)
    await app.register(securityRoutes, routed)
    await app.register(sessionRoutes, { ...routed, apiSessions: new ApiSessions(routed) })
    await app.register(adminRoutes, routed)
    await app.register(revocationRoutes, { ...routed, foreign: new ForeignIds(foreignTerms(config)) })
    await app.register(replayRoutes, { ...routed, replays: replaysOf(parts, replica, clock) })
    await app.register(keyRoutes, { signingKeys, guard })
    const acting = { accounts: new Accounts(routed), impersonations: new Impersonations(routed) }
    await app.register(personRoutes, { ...routed, ...acting })
    await app.register(serviceRoutes, routed)
    await app.register(oauthRoutes, routed)
    const tokenLives = { accessTokenMs: config.accessTokenLife, opaqueTokenMs: config.opaqueTokenLife }
    await app.register(livesRoutes, { kinds, tokenLives })
    await app.register(clientRoutes, routed)
  }
  return { mount, sweeper, readiness: () => readiness(store, view) }
}

// Each log has a delivery of its own: one that is away holds up no other.
function deliveryOf(parts: Parts, replica: FollowedLogs, clock: Clock, closers: Closers): Delivery | Deliveries {
  const { config, log, logger, metrics } = parts
  const each = logsOf(parts).map(({ store, topic, logName }, i) => {
    const view = replica.byTenant?.views[i] ?? replica
    const keyInForce = (): boolean => signalKeyInForce(view, clock)
    const delivery = new Delivery({ store, log, topic, clock, logger, epsilonMs: config.epsilon, keyInForce })
    const of = logName === undefined ? {} : { log: logName }
    metrics.gaugeFrom('countersign_outbox_pending', of, () => delivery.status.pending)
    metrics.gaugeFrom('countersign_outbox_oldest_seconds', of, () => ageSeconds(delivery.status.oldestAt, clock))
    return delivery
  })
  const [only] = each
  const delivery = each.length === 1 && only !== undefined ? only : new Deliveries(each)
  closers.push(() => delivery.stop())
  return delivery
}

function replaysOf({ catalogue, log }: Parts, replica: FollowedLogs, clock: Clock): Replays {
  const logs = catalogue.signalsLogs.map(({ topic }, i) => ({ topic, view: replica.byTenant?.views[i] ?? replica }))
  return new Replays({ log, clock, logs })
}

// A store restored from a backup shows itself as soon as the log was read, not only at the next login.
async function repairOnceStarted(
  replica: FollowedLogs,
  view: OwnView,
  repair: () => Promise<void>,
  signal: AbortSignal,
  logger: Logger,
): Promise<void> {
  while (!signal.aborted && !(await replica.waitUntil(() => view.started, 60_000, signal)));
  if (signal.aborted) return
  await repair().catch((error: unknown) =>
    logger.error({ error }, 'the session store could not be compared with the log'),
  )
}

async function readiness(store: SessionStore, view: OwnView): Promise<Readiness> {
  const answered = await store.highestSeq().then(
    () => true,
    () => false,
  )
  const reasons = [
    ...(answered ? [] : ['store_away']),
    ...(view.started ? [] : ['view_starting']),
    ...(view.keyInForce ? [] : ['signal_key_not_in_force']),
  ]
  return { ready: reasons.length === 0, reasons }
}

function ageSeconds(since: number | null, clock: Clock): number {
  return since === null ? 0 : Math.max(0, clock.now() - since) / 1000
}
