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
    out: (line) => void process.stdout.write(`${harmless(line)}\n`),
    say: (line) => void process.stderr.write(`${harmless(line)}\n`),
    ...(process.stderr.isTTY && { drawing: process.stderr }),
  }
}

/** Control characters but tabs and ends of lines, and those that turn the order of a line round. */
const COMMANDS = /[\p{Cc}\u202a-\u202e\u2066-\u2069]/gu
const MEANT: ReadonlySet<string> = new Set(['\t', '\n', '\r'])

/**
 * What others wrote on topics must not command the terminal of who reads it.
 * @returns the text with such characters as `\\u001b`, which means the same in JSON.
 */
export function harmless(text: string): string {
  return text.replace(COMMANDS, (found, at: number) =>
    MEANT.has(found) && (found !== '\r' || text[at + 1] === '\n') ? found : escaped(found),
  )
}

/** As `harmless`, of text that is one line whatever it says. */
export function oneLine(text: string): string {
  return harmless(text).replace(/[\n\r]/g, escaped)
}

function escaped(char: string): string {
  return `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`
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
  // A cell is one line: what stands in it makes no rows.
  for (const row of data.rows) table.push(row.map(oneLine))
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
