/** The command line as somebody types it, in this process. */
import { systemClock } from '@countersign/kernel'
import { type ExitCode, runProgram } from '@countersign/ops'

export interface Typed {
  readonly code: ExitCode
  /** Standard output. */
  readonly out: string
  /** Standard error. */
  readonly talk: string
}

/** @param argv words, or a line whose words with blanks are in single quotes. */
export async function type(
  argv: string | readonly string[],
  env: Readonly<Record<string, string>> = {},
  signal: AbortSignal = new AbortController().signal,
): Promise<Typed> {
  const out: string[] = []
  const talk: string[] = []
  const words = typeof argv === 'string' ? wordsOf(argv) : argv
  const terminal = { out: (line: string) => void out.push(line), say: (line: string) => void talk.push(line) }
  const code = await runProgram({ argv: words, env, terminal, clock: systemClock, signal })
  return { code, out: out.join('\n'), talk: talk.join('\n') }
}

function wordsOf(line: string): string[] {
  return [...line.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain ?? '')
}
