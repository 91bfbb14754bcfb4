/** `sentence`: what a stolen credential is still good for, from what is configured and what was measured. */
import { type CredentialLife, logSource, readLives, type Sentence, SentenceFold, spoken } from '@countersign/evidence'
import { type Clock, type CountersignError, isCountersignError, rfc3339 } from '@countersign/kernel'
import { catalogueOf, countOf, durationOf, type LogOptions, openPlace, placeOf, rootKeysOf } from './connection.ts'
import { OpsError } from './errors.ts'
import { EXIT, type ExitCode } from './exit-codes.ts'
import { print, type Terminal } from './terminal.ts'

export interface SentenceCommandOptions extends LogOptions {
  rootKey?: string[]
  rootKeyFile?: string[]
  identity?: string
  class?: string
  last: string
  timeout: string
  words?: boolean
}

/** @throws {OPS_SENTENCE_UNKNOWN} when no consumer of such a class is registered on the log. */
export async function sentence(
  options: SentenceCommandOptions,
  terminal: Terminal,
  clock: Clock,
  signal: AbortSignal,
): Promise<ExitCode> {
  const place = placeOf(options)
  const rootKeys = rootKeysOf(options)
  const keep = countOf('--last', options.last)
  const timeoutMs = durationOf('--timeout', options.timeout)
  const catalogue = await catalogueOf(options)
  const deadline = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)])
  const asking = livesOf(options.identity, deadline, terminal)
  const log = await openPlace(place, catalogue)
  try {
    if (rootKeys.length === 0) terminal.say('No root key was given: the window of the trust bundle is left out.')
    const source = logSource(log, catalogue)
    const fold = new SentenceFold({ schemas: source.schemas, rootKeys, keep })
    const cut = await fold.read(source, { signal: deadline }).then(() => null, cutShort)
    const all = fold.sentences(await asking)
    const rows = options.class === undefined ? all : all.filter(({ jobClass }) => jobClass === options.class)
    if (rows.length === 0) throw cut ?? unknown(options.class)
    report(rows, Math.min(fold.asOf, clock.now()), options, terminal)
    if (cut === null) return EXIT.ok
    terminal.say(`countersign: ${cut.publicMessage}; what is measured is of what was read by then`)
    return EXIT.failed
  } finally {
    await log.close()
  }
}

/** How long it is asked: without it the sentence is as good. */
const IDENTITY_MS = 5_000
const CUT_SHORT: readonly string[] = ['EVIDENCE_INTERRUPTED', 'EVIDENCE_UNAVAILABLE', 'OPS_LOG_SILENT']

/** @returns why not all was read. @throws what is wrong otherwise. */
function cutShort(error: unknown): CountersignError {
  if (isCountersignError(error) && CUT_SHORT.includes(error.code)) return error
  throw error
}

async function livesOf(
  url: string | undefined,
  signal: AbortSignal,
  terminal: Terminal,
): Promise<readonly CredentialLife[]> {
  const unasked = 'how long credentials live that nobody revokes is left out'
  if (url === undefined) {
    terminal.say(`Identity was not named (--identity <url>): ${unasked}.`)
    return []
  }
  const patience = AbortSignal.any([signal, AbortSignal.timeout(IDENTITY_MS)])
  const lives = await fetch(new URL('/v1/lives', url), { redirect: 'error', signal: patience }).then(
    async (response) => (response.ok ? readLives(await response.json()) : null),
    () => null,
  )
  if (lives === null) terminal.say(`Identity does not say it at ${new URL(url).origin}: ${unasked}.`)
  return lives ?? []
}

const HEAD = ['Job class', 'Stolen', 'Useful for at most', 'Measured p99', 'Revocations', 'If nobody revokes it']

function report(rows: readonly Sentence[], asOf: number, options: SentenceCommandOptions, terminal: Terminal): void {
  const { output, words } = options
  const at = rfc3339(asOf)
  if (output === 'json') {
    print(terminal, 'json', { json: { asOf: at, sentences: rows }, head: [], rows: [] })
    return
  }
  if (words) {
    for (const { text } of rows) terminal.out(text)
  } else {
    const table = rows.map(({ jobClass, credential, boundMs, p99Ms, revocations, unrevoked }) => [
      jobClass,
      credential.replaceAll('_', ' '),
      boundMs === null ? 'no bound' : spoken(boundMs),
      p99Ms === null ? '' : spoken(p99Ms),
      String(revocations),
      unrevoked.map(({ name, absoluteMs }) => `${spoken(absoluteMs)} (${name})`).join(', '),
    ])
    print(terminal, 'table', { json: null, head: HEAD, rows: table })
    for (const sum of new Set(rows.map((row) => `${row.jobClass}: ${row.arithmetic}`))) terminal.say(sum)
  }
  terminal.say(`As of ${at}.`)
}

function unknown(jobClass: string | undefined): OpsError {
  const of = jobClass === undefined ? '' : ` of the class ${jobClass}`
  return new OpsError({
    code: 'OPS_SENTENCE_UNKNOWN',
    retriable: false,
    publicMessage: `no consumer${of} is registered on this log: one registers when it starts, and again while it runs`,
  })
}
