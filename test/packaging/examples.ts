/**
 * The examples of a README that must work for a user: a `ts` block directly followed by a `text` block that it prints,
 * a block marked `ts example`, and, for the compiler alone, a block marked `ts example typecheck`.
 */

export interface Example {
  /** Line of the opening fence, from 1. */
  readonly line: number
  readonly code: string
  readonly runs: boolean
  /** What it prints, without the space around; null where the README does not say. */
  readonly prints: string | null
}

const BLOCK = /^```ts( example)?( typecheck)?\n([\s\S]*?)^```$(?:\s+(?:[^\n`]+\n\s*)?```text\n([\s\S]*?)^```$)?/gm

export function examplesOf(markdown: string): Example[] {
  return [...markdown.matchAll(BLOCK)]
    .filter(([, marked, , , prints]) => marked !== undefined || prints !== undefined)
    .map(({ index, 2: typecheck, 3: code = '', 4: prints }) => ({
      line: markdown.slice(0, index).split('\n').length,
      code,
      runs: typecheck === undefined,
      prints: prints?.trim() ?? null,
    }))
}
