/** The 3 AM schedule: reports for every tenant, with nobody logged in. */
import { type Boundary, eventIdOf, type ScheduleEntry, type Sent } from '@countersign/boundary'
import type { Clock } from '@countersign/kernel'
import type { Logger } from '@countersign/telemetry'
import { invoicesOf } from './invoices.ts'

/** One night's work. */
export interface NightlyRun {
  /** Names the night: firing twice for one gives handlers the same events. */
  readonly due: string
  readonly reportsPerTenant: number
  readonly workMs: number
}

export interface NightlyResult {
  readonly sent: readonly Sent[]
  /** Tenants left out, and why. */
  readonly refused: readonly { readonly tenant: string; readonly code: string }[]
}

export class Nightly {
  readonly #boundary: Boundary
  readonly #entries: readonly { tenant: string; schedule: ScheduleEntry }[]

  constructor(boundary: Boundary, tenants: readonly string[]) {
    this.#boundary = boundary
    this.#entries = tenants.map((tenant) => {
      return { tenant, schedule: boundary.schedule({ name: 'nightly', tenant, scopes: ['reports:build'] }) }
    })
  }

  /** @throws what `jobs.sendMany` throws; the same run can be fired again. */
  async fire({ due, reportsPerTenant, workMs }: NightlyRun): Promise<NightlyResult> {
    const refused: { tenant: string; code: string }[] = []
    const jobs = this.#entries.flatMap(({ tenant, schedule }) => {
      const fired = schedule.fire()
      if (!fired.ok) {
        refused.push({ tenant, code: fired.code })
        return []
      }
      return invoicesOf(tenant, reportsPerTenant).map((invoiceId) => ({
        topic: 'reports.build',
        key: invoiceId,
        value: { period: due.slice(0, 10), invoice_id: invoiceId, work_ms: workMs },
        identity: fired.identity,
        eventId: eventIdOf('nightly', due, tenant, invoiceId),
      }))
    })
    return { sent: await this.#boundary.jobs.sendMany(jobs), refused }
  }

  /**
   * Fires every day at a time of day in UTC, until `signal` aborts. A night missed while the process was down
   * is not made up for; a failed one is tried again every minute until the next is due.
   */
  async runDaily(at: string, clock: Clock, logger: Logger, signal: AbortSignal): Promise<void> {
    // After a night that failed until the next is due, that one must not be skipped.
    for (let due = nextDue(at, clock.now()); ; due = nextDue(at, Math.max(due, clock.now() - MINUTE))) {
      await clock.sleep(due - clock.now(), signal)
      while (!signal.aborted && clock.now() < due + DAY) {
        if (await this.#fireOnce(new Date(due).toISOString(), logger)) break
        await clock.sleep(MINUTE, signal)
      }
      if (signal.aborted) return
    }
  }

  async #fireOnce(due: string, logger: Logger): Promise<boolean> {
    try {
      const { sent, refused } = await this.fire({ due, reportsPerTenant: 1, workMs: 100 })
      logger.info({ schedule: 'nightly', sent: sent.length, refused: refused.length }, 'schedule fired')
      return refused.length === 0
    } catch (error) {
      logger.warn({ schedule: 'nightly', error }, 'schedule could not fire')
      return false
    }
  }
}

const MINUTE = 60_000
const DAY = 86_400_000

/** @param at `hh:mm`, UTC. @returns the next such moment after `now`, epoch milliseconds. */
export function nextDue(at: string, now: number): number {
  const [hours = 0, minutes = 0] = at.split(':').map(Number)
  const today = Math.floor(now / DAY) * DAY + hours * 60 * MINUTE + minutes * MINUTE
  return today > now ? today : today + DAY
}
