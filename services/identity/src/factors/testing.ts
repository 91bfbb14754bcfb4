/** People with an authenticator app; for tests. */
import type { Client } from '../testing.ts'
import { codeOf } from './totp.ts'

export const STEP_MS = 30_000

export interface EnrolledApp {
  readonly secret: string
  /** Recovery codes that came with it. */
  readonly codes: readonly string[]
  /** Handle of the app, then of the recovery codes. */
  readonly handles: readonly [string, string]
  /** Code of so many steps from now: the window takes one either way, and each code once. */
  code(steps?: number): string
}

/** Gives who is logged in an app. @throws {Error} with what was answered instead. */
export async function enrolApp(browser: Client, clock: { now(): number }): Promise<EnrolledApp> {
  const { secret } = (await browser.post('/v1/factors/totp')).json
  const code = (steps = 0): string => codeOf(secret, clock.now() + steps * STEP_MS)
  const { status, json, text } = await browser.post('/v1/factors/totp/confirm', { code: code(-1) })
  if (status !== 201) throw new Error(text)
  const factors: { kind: string; factor: string }[] = (await browser.get('/v1/factors')).json.factors
  const of = (wanted: string): string => factors.find(({ kind }) => kind === wanted)?.factor ?? ''
  return { secret, codes: json.recoveryCodes, handles: [of('totp'), of('recovery')], code }
}
