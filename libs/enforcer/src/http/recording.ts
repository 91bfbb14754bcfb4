/** What became of requests: a line, a step of the journey of whoever asked, and counters. Names and handles only. */
import type { Journey } from '@countersign/journey'
import type { Clock } from '@countersign/kernel'
import type { JobClassRules } from '@countersign/policy'
import type { Logger, Metrics } from '@countersign/telemetry'
import type { OpenedToken } from './txn-token.ts'

export interface RecordingOptions {
  readonly logger: Logger
  readonly clock: Clock
  readonly metrics?: Metrics | undefined
  readonly journey?: Pick<Journey, 'enforcement'> | undefined
  /** Journey steps of requests that were let through as well. */
  readonly all: boolean
  readonly audience: string
}

/** One answer to one request. */
export interface Told {
  readonly rules: JobClassRules
  readonly outcome: 'allowed' | 'refused' | 'observed' | 'ended'
  readonly reason: string
  readonly rule: string
  readonly detail: string | null
  readonly opened: OpenedToken | null
  readonly requestId: string | undefined
  /** Monotonic milliseconds. */
  readonly began: number
}

/** A second: of each who is known, and of all strangers together. */
const MOST_STEPS = 20

export class Recording {
  readonly #options: RecordingOptions
  #second = 0
  readonly #steps = new Map<string, number>()

  constructor(options: RecordingOptions) {
    this.#options = options
  }

  tell({ rules, outcome, reason, rule, detail, opened, requestId, began }: Told): void {
    const { logger, metrics, journey, clock, all, audience } = this.#options
    metrics?.counter('countersign_request_decisions_total', { class: rules.name, outcome, reason }).add()
    const { sub, txn, tctx, rctx } = opened?.envelope.claims ?? {}
    const { tenant, session, client, device, credential } = tctx ?? {}
    if (outcome !== 'allowed') {
      const of = { tenant, sub, session, client, device, credential, txn, correlation: opened?.correlationId }
      logger.info({ class: rules.name, outcome, reason, rule, detail, requestId, ...of }, 'request not allowed')
    } else if (!all) return
    if (journey === undefined || !this.#noted(tenant === undefined ? '' : JSON.stringify([tenant, sub]))) return
    journey.enforcement({
      ...{ actor: sub ?? 'unknown', sub: sub ?? null, tenant: tenant ?? null, session: session ?? null },
      ...{ client: client ?? null, device: device ?? null, token: opened?.token ?? null, txn: txn ?? null },
      ...{ acr: rctx?.acr ?? null, audience: [audience], scopes: rules.scopes, route: rules.name },
      ...{ rule: outcome === 'observed' ? `${rule} (observed)` : rule, outcome: reason, cause: detail },
      ...{ correlationId: opened?.correlationId ?? null },
      ...{ requestId: requestId ?? rctx?.request_id ?? null, latencyMs: clock.monotonic() - began },
    })
  }

  /** What one sends must not push what became of others off the buffer: so many a second, the rest are counted alone. */
  #noted(whose: string): boolean {
    const second = Math.floor(this.#options.clock.monotonic() / 1000)
    if (second !== this.#second) this.#steps.clear()
    this.#second = second
    const steps = (this.#steps.get(whose) ?? 0) + 1
    this.#steps.set(whose, steps)
    return steps <= MOST_STEPS
  }
}
