/** For tests: a Txn-Token, and an HTTP enforcer with one class, on a view that says what it is told. */
import { type SigningKey, sealTxnToken, type TxnTokenClaims } from '@countersign/envelope'
import { NOW, type TestAuthority, testAuthority } from '@countersign/envelope/testing'
import type { JourneyEvent } from '@countersign/journey'
import { FakeClock } from '@countersign/kernel/testing'
import { defineJobClass, type JobClassInput } from '@countersign/policy'
import { targetKey } from '@countersign/revocation'
import { createMetrics, type Metrics, silentLogger } from '@countersign/telemetry'
import { FakeView } from '../testing.ts'
import { createHttpEnforcer, type HttpEnforcer, type HttpEnforcerOptions } from './http-enforcer.ts'

export const authority: TestAuthority = testAuthority(7)
export const S: number = NOW / 1000
export const CLAIMS: TxnTokenClaims = {
  aud: 'services.example',
  iat: S,
  exp: S + 60,
  sub: 'u_1',
  jti: 'tok_1',
  client_id: 'spa',
  scope: 'invoices:read payments:run',
  auth_time: S - 60,
  acr: 'mfa',
  amr: ['pwd', 'otp'],
  sid: 'ses_1',
  tenant: 'acme',
  principal: 'user',
  scope_version: NOW - 50_000,
  targets: [
    ['tenant', 'acme', '', NOW - 80_000],
    ['subject', '', 'u_1', NOW - 70_000],
    ['affiliation', 'acme', 'u_1', NOW - 60_000],
    ['session', '', 'ses_1', NOW - 50_000],
    ['client', '', 'spa', NOW - 40_000],
    ['token', '', 'tok_1', NOW],
    ['transaction', '', 'txn_1', NOW],
  ],
  credential: 'session_cookie',
  credential_exp: S + 3600,
  txn: 'txn_1',
  req_wl: 'gateway',
  position: { log_id: 'log-1', offset: 41 },
  request_id: 'req_1',
  correlation_id: 'corr_1',
  tctx: { invoice: 'inv-7' },
}
export const SESSION: Buffer = targetKey({ kind: 'session', tenant: '', id: 'ses_1' })
const PAYMENT: JobClassInput = {
  name: 'payment',
  topic: 'payments',
  action: 'pay',
  scopes: ['payments:run'],
  acr: ['mfa', 'phr'],
}

export interface World {
  readonly clock: FakeClock
  readonly view: FakeView
  readonly http: HttpEnforcer
  readonly steps: JourneyEvent[]
  readonly metrics: Metrics
}

export function world(rules: Partial<JobClassInput> = {}, options: Partial<HttpEnforcerOptions> = {}): World {
  const clock = new FakeClock(NOW + 1_000)
  const view = new FakeView(clock)
  const steps: JourneyEvent[] = []
  const metrics = createMetrics()
  const http = createHttpEnforcer({
    replica: view,
    clock,
    logger: silentLogger,
    metrics,
    journey: { enforcement: (event) => void steps.push(event) },
    classes: [defineJobClass({ ...PAYMENT, ...rules })],
    txnTokens: { trustDomain: 'services.example' },
    ...options,
  })
  return { clock, view, http, steps, metrics }
}

export const token = (over: object = {}, key: SigningKey = authority.keys.envelope): string =>
  sealTxnToken({ ...CLAIMS, ...over }, key)
