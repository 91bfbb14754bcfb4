/** HTML as values: whatever is put into a template is text, unless it is HTML made the same way. */

export class Html {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }
}

export type Shown = Html | string | number | null | undefined | false | readonly Shown[]

/** @returns the template with everything in it as text; HTML made here stays HTML; null, undefined and false are left out. */
export function html(parts: TemplateStringsArray, ...values: readonly Shown[]): Html {
  return new Html(parts.map((part, i) => (i === 0 ? part : written(values[i - 1]) + part)).join(''))
}

function written(value: Shown): string {
  if (value === null || value === undefined || value === false) return ''
  if (value instanceof Html) return value.text
  if (typeof value === 'object') return value.map(written).join('')
  return asText(String(value))
}

const NAMED: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' }

function asText(text: string): string {
  return text.replaceAll(/[&<>"']/g, (char) => NAMED[char] ?? '')
}
