import { expect, test } from 'vitest'
import { harmless, oneLine, print, type Terminal } from './terminal.ts'

const ESC = '\u001b'

function lines(cells: readonly string[]): string[] {
  const out: string[] = []
  const terminal: Terminal = { out: (line) => void out.push(line), say: () => {} }
  print(terminal, 'table', { json: null, head: ['reason', 'class'], rows: [cells] })
  return out.flatMap((line) => line.split('\n')).map((line) => line.trim().replaceAll(/ +/g, ' '))
}

test('nothing that others wrote moves the cursor, hides a line or makes one', () => {
  expect(lines([`${ESC}[2J${ESC}]0;owned\u0007`, 'export'])[1]).toBe('\\u001b[2J\\u001b]0;owned\\u0007 export')
  expect(lines(['view_stale\n  executed', 'a\r\u0008\u009b2K'])).toEqual([
    'reason class',
    'view_stale\\u000a executed a\\u000d\\u0008\\u009b2K',
  ])
  expect(oneLine('denied\nexecuted')).toBe('denied\\u000aexecuted')
})

test('a line of data keeps its meaning as JSON, its tabs and the end that CSV has', () => {
  const value = { text: `\u009b2K ${ESC}[1A \u202edlrow\t` }
  const written = harmless(JSON.stringify(value))
  expect(written).not.toMatch(/[\u0080-\u009f\u202e]/)
  expect(JSON.parse(written)).toEqual(value)
  expect(harmless('a\tb\nc,d\r\n')).toBe('a\tb\nc,d\r\n')
})
