/** `keys`: the keys that sign for others, and giving one up. */
import { randomUUID } from 'node:crypto'
import { type Clock, rfc3339 } from '@countersign/kernel'
import type { Environment } from './command.ts'
import { wrongArgument } from './errors.ts'
import { EXIT, type ExitCode } from './exit-codes.ts'
import { askCompromise, askKeys, type IdentityOptions, type KeyFacts } from './identity-client.ts'
import { ANSWER_CODES, ANSWER_WORDS, type IdentityFlags, identityOf, UUID } from './revoke.ts'
import { print, type Terminal } from './terminal.ts'

const ASK_AGAIN_MS = 500

/** Lists every key. */
export async function listKeys(options: IdentityFlags, env: Environment, terminal: Terminal): Promise<ExitCode> {
  const keys = await askKeys(identityOf(options, env))
  print(terminal, options.output, {
    json: keys,
    head: ['key', 'signs', 'tenants', 'topics', 'from', 'until', 'state'],
    rows: keys.map((key) => [
      key.id,
      WORDS[key.use] ?? key.use,
      key.tenants.join(',') || '-',
      key.topics.join(',') || '-',
      iso(key.notBefore),
      key.notAfter === null ? '-' : iso(key.notAfter),
      key.givenUp ? 'given up' : '',
    ]),
  })
  return EXIT.ok
}

export interface CompromiseOptions extends IdentityFlags {
  requestId?: string
  execute?: boolean
}

/**
 * Shows what a key may sign; with `execute` gives it up, asks again while the answer is unknown, and waits for the bundle
 * without it.
 */
export async function compromiseKey(
  id: string,
  options: CompromiseOptions,
  env: Environment,
  terminal: Terminal,
  clock: Clock,
): Promise<ExitCode> {
  const { requestId, output } = options
  if (requestId !== undefined && !UUID.test(requestId)) throw wrongArgument('--request-id is a UUID')
  const identity = identityOf(options, env)
  if (!options.execute) {
    const keys = await askKeys(identity)
    const key = keys.find((one) => one.id === id)
    if (!key) throw wrongArgument(`no key ${id}; there is ${keys.map((one) => one.id).join(', ')}`)
    show(terminal, output, { executed: false, ...key })
    terminal.say(`${warning(key)} The same with --execute does it.`)
    return EXIT.ok
  }
  const request = requestId ?? randomUUID()
  terminal.say(`Asking with id ${request}.`)
  const deadline = clock.monotonic() + identity.timeoutMs
  let answer = await askCompromise(identity, id, request)
  while (answer.state === 'unknown' && clock.monotonic() + ASK_AGAIN_MS < deadline) {
    await clock.sleep(ASK_AGAIN_MS)
    answer = await askCompromise(identity, id, request).catch(() => answer)
  }
  const isTold = answer.state === 'acknowledged' || answer.state === 'pending'
  const withdrawn = isTold && (answer.withdrawn === true || (await isGone(id, identity, clock, deadline)))
  show(terminal, output, { ...answer, ...(isTold && { withdrawn }) })
  terminal.say(ANSWER_WORDS[answer.state])
  if (isTold && !withdrawn) {
    terminal.say(
      'The bundle without it is not on the log yet: is a notary running? What it signs is refused all the same.',
    )
    return EXIT.pending
  }
  return ANSWER_CODES[answer.state]
}

const WORDS: Readonly<Record<string, string>> = {
  envelope: 'envelopes, Txn-Tokens',
  derive: 'derived envelopes',
  signal: 'signals',
  checkpoint: 'checkpoints',
  progress: 'keys of consumers',
  audit: 'the archive',
  token: 'tokens',
}

function warning({ use }: KeyFacts): string {
  switch (use) {
    case 'envelope':
    case 'derive':
      return 'All work sealed with it, queued or running, and all that came of it would end: put its holder under another key first, or its work stands still.'
    case 'token':
      return 'All tokens signed with it would end: whoever holds one asks for another, under the next key.'
    case 'checkpoint':
      return 'A notary that signs with it would fall silent: have one running under another checkpoint key first.'
    default:
      return 'What it signed before stays as it is; nothing signed with it would be believed from then on.'
  }
}

/** The notary writes the bundle; it takes an interval or two. */
async function isGone(id: string, identity: IdentityOptions, clock: Clock, deadline: number): Promise<boolean> {
  while (clock.monotonic() + ASK_AGAIN_MS < deadline) {
    await clock.sleep(ASK_AGAIN_MS)
    const keys = await askKeys(identity).catch(() => null)
    if (keys !== null && !keys.some((key) => key.id === id)) return true
  }
  return false
}

function show(terminal: Terminal, format: IdentityFlags['output'], facts: object): void {
  const rows = Object.entries(facts).map(([key, value]) => [
    key,
    typeof value === 'object' ? JSON.stringify(value) : String(value),
  ])
  print(terminal, format, { json: facts, head: ['field', 'value'], rows })
}

function iso(ms: number): string {
  return rfc3339(ms)
}
