/** The runnable examples of a README: fenced blocks marked `ts example`, or `ts example typecheck` for the compiler alone. */

export interface Example {
  /** Line of the opening fence, from 1. */
  readonly line: number
  readonly code: string
  readonly runs: boolean
}

export function examplesOf(markdown: string): Example[] {
  return [...markdown.matchAll(/^```ts example( typecheck)?\n([\s\S]*?)^```$/gm)].map((match) => ({
    line: markdown.slice(0, match.index).split('\n').length,
    code: match[2] ?? '',
    runs: match[1] === undefined,
  }))
}
