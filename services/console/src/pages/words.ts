/** Times, ages, states and places as people read them. */
import { rfc3339 } from '@countersign/kernel'
import type { Told } from '../system/known.ts'
import { Html, html, type Shown } from './html.ts'

/** To the second, UTC, readable by programs too. */
export function time(ms: number): Html {
  const iso = rfc3339(ms)
  return html`<time datetime="${iso}">${iso.slice(0, 19).replace('T', ' ')}</time>`
}

/** `120 ms`, `4.2 s`, `3 min`, `2.5 h`, `3 d`. */
export function span(ms: number): string {
  const abs = Math.max(0, ms)
  if (abs < 1_000) return `${Math.round(abs)} ms`
  if (abs < 90_000) return `${(abs / 1_000).toFixed(1)} s`
  if (abs < 5_400_000) return `${Math.round(abs / 60_000)} min`
  if (abs < 172_800_000) return `${(abs / 3_600_000).toFixed(1)} h`
  return `${Math.round(abs / 86_400_000)} d`
}

export type Mood = 'ok' | 'wait' | 'bad' | 'plain'

export function state(text: string, mood: Mood): Html {
  return html`<span class="state ${mood}">${text.replaceAll('_', ' ')}</span>`
}

/** Opaque names, wherever they come from. */
export function handle(text: string | null): Shown {
  return text === null || text === '' ? '–' : html`<span class="handle">${text}</span>`
}

/** When what is shown was so; alarming when the latest question was not answered. */
export function asOf<T>({ asOf, overdue }: Told<T>, what: string): Html {
  if (asOf === null) return html`<p class="alarm" role="status">${what}: no answer. Nothing is known.</p>`
  return overdue
    ? html`<p class="note">${what} does not answer now. This is as of ${time(asOf)} UTC.</p>`
    : html`<p class="as-of">As of ${time(asOf)} UTC.</p>`
}

/** A table that can be scrolled sideways, by keyboard too. */
export function table(
  caption: string,
  head: readonly string[],
  rows: readonly (readonly Shown[])[],
  numbers: readonly number[] = [],
): Html {
  const mark = (i: number): Shown => numbers.includes(i) && html` class="number"`
  return html`<div class="scroll" tabindex="0" role="region" aria-label="${caption}">
<table><caption>${caption}</caption>
<thead><tr>${head.map((name, i) => html`<th scope="col"${mark(i)}>${name}</th>`)}</tr></thead>
<tbody>${rows.map(
    (
      cells,
    ) => html`<tr>${cells.map((cell, i) => (i === 0 ? html`<th scope="row"${mark(i)}>${cell}</th>` : html`<td${mark(i)}>${cell}</td>`))}</tr>
`,
  )}</tbody></table></div>`
}

/** JSON for a chart, where only the page's own script looks. */
export function chartData(id: string, data: object): Html {
  return html`<script type="application/json" id="${id}">${new Html(JSON.stringify(data).replaceAll('<', '\\u003c'))}</script>`
}
