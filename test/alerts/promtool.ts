/** A told story in the words of `promtool test rules`. */
import type { Rule } from '../promql/rules.ts'
import type { Labels, Series } from '../promql/series.ts'
import type { Told } from './telling.ts'

/** @returns the same samples, and when the alert must fire and when not. */
export function promtoolTest({ alert }: Rule, { store, fired, trouble, end }: Told, stepMs: number): object {
  const during = fired?.to ?? 0
  const fires = fired?.alerts.map(({ labels, annotations }) => ({ exp_labels: labels, exp_annotations: annotations }))
  const moment = (ms: number, exp_alerts: unknown): object => ({
    eval_time: `${ms / 1000}s`,
    alertname: alert,
    exp_alerts,
  })
  return {
    interval: `${stepMs / 1000}s`,
    name: alert,
    input_series: [...store.all()].map((series) => ({
      series: textOf(series.labels),
      values: valuesOf(series, stepMs),
    })),
    alert_rule_test: [moment(trouble.from - stepMs, []), moment(during - stepMs, fires), moment(end + stepMs, [])],
  }
}

function textOf({ __name__ = '', ...labels }: Labels): string {
  const inside = Object.entries(labels).map(([label, value]) => `${label}=${JSON.stringify(value)}`)
  return `${__name__}{${inside.join(',')}}`
}

function valuesOf({ samples }: Series, stepMs: number): string {
  const values: string[] = []
  for (const { at, value, stale } of samples) {
    while (values.length < at / stepMs) values.push('_')
    values.push(stale ? 'stale' : String(value).replace('Infinity', 'Inf'))
  }
  return values.join(' ')
}
