/** Where a command's words go: data to standard output, talk to standard error. */
import Table from 'cli-table3'

export type Format = 'table' | 'json'

export interface Terminal {
  /** Data. */
  out(line: string): void
  /** Talk. */
  say(line: string): void
  /** Where bars are drawn; absent where nobody looks. */
  readonly drawing?: NodeJS.WritableStream
}

export function processTerminal(): Terminal {
  return {
    out: (line) => void process.stdout.write(`${line}\n`),
    say: (line) => void process.stderr.write(`${line}\n`),
    ...(process.stderr.isTTY && { drawing: process.stderr }),
  }
}

/** One JSON document, or rows under a head without any decoration a pipe would have to strip. */
export function print(
  terminal: Terminal,
  format: Format,
  data: { json: unknown; head: readonly string[]; rows: readonly (readonly string[])[] },
): void {
  if (format === 'json') {
    terminal.out(JSON.stringify(data.json))
    return
  }
  if (data.rows.length === 0) return
  const table = new Table({ head: [...data.head], style: { head: [], border: [] }, chars: PLAIN })
  for (const row of data.rows) table.push([...row])
  terminal.out(table.toString().replaceAll(/ +$/gm, ''))
}

const PLAIN = {
  top: '',
  'top-mid': '',
  'top-left': '',
  'top-right': '',
  bottom: '',
  'bottom-mid': '',
  'bottom-left': '',
  'bottom-right': '',
  left: '',
  'left-mid': '',
  mid: '',
  'mid-mid': '',
  right: '',
  'right-mid': '',
  middle: '  ',
}
