/** Plays a story over hours in milliseconds: a process whose page is scraped every fifteen seconds. */
import { createMetrics } from '@countersign/telemetry'
import { type Alert, type Rule, Watched } from '../promql/rules.ts'
import { SeriesStore } from '../promql/series.ts'
import { INSTANCE, type Story } from './stories.ts'

export const STEP_MS = 15_000
const BEFORE_MS = 5 * 60_000
/** The longest window that a rule looks back over, and a little. */
const AFTER_MS = 70 * 60_000

export interface Told {
  readonly store: SeriesStore
  /** From the first moment it fired to the last, epoch milliseconds; null when it never did. */
  readonly fired: { readonly from: number; readonly to: number; readonly alerts: readonly Alert[] } | null
  /** How often it began to fire. */
  readonly times: number
  readonly trouble: { readonly from: number; readonly to: number }
  readonly end: number
}

/** @returns what a rule made of a story. */
export async function tell(story: Story, rule: Rule): Promise<Told> {
  const metrics = createMetrics()
  const store = new SeriesStore()
  const watched = new Watched(rule)
  const target = { job: 'countersign', instance: INSTANCE }
  const trouble = { from: BEFORE_MS, to: BEFORE_MS + story.minutes * 60_000 }
  const end = trouble.to + AFTER_MS
  let fired = null as Told['fired']
  let times = 0
  let isFiring = false
  for (let at = 0; at <= end; at += STEP_MS) {
    story.ordinary(metrics)
    const troubled = at >= trouble.from && at < trouble.to
    if (troubled && story.trouble !== 'down') story.trouble(metrics)
    store.scrape(target, troubled && story.trouble === 'down' ? null : await metrics.text(), at)
    const alerts = watched.firing(store, at)
    if (alerts.length > 0) {
      if (!isFiring) times++
      fired = { from: fired?.from ?? at, to: at, alerts: fired?.alerts ?? alerts }
    } else if (fired !== null && at > trouble.to) return { store, fired, times, trouble, end: at }
    isFiring = alerts.length > 0
  }
  return { store, fired, times, trouble, end }
}
