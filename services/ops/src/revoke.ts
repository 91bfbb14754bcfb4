/** `revoke` and `revocation`: ask identity, and say which of the four answers it was. */
import { randomUUID } from 'node:crypto'
import type { Clock } from '@countersign/kernel'
import { type ForeignName, isReason, REASONS, scopeOf, type Target } from '@countersign/revocation'
import { durationOf, readText } from './connection.ts'
import { wrongArgument } from './errors.ts'
import { EXIT, type ExitCode } from './exit-codes.ts'
import {
  type Answer,
  askRevocation,
  askStatus,
  type IdentityOptions,
  type RevocationRequest,
} from './identity-client.ts'
import { targetOf } from './targets.ts'
import { type Format, print, type Terminal } from './terminal.ts'

export interface IdentityFlags {
  identity?: string
  secretFile?: string
  timeout: string
  output: Format
}

export interface RevokeOptions extends IdentityFlags {
  /** Another identity provider, exactly as in its tokens. */
  issuer?: string
  reason?: string
  scope?: string
  cause?: string
  requestId?: string
  execute?: boolean
}

export const UUID = /^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$/i
const ASK_AGAIN_MS = 500

/** Shows what would be asked; asks it only with `execute`, and again with the same id while the answer is unknown. */
export async function revoke(
  target: string,
  options: RevokeOptions,
  env: Readonly<Record<string, string | undefined>>,
  terminal: Terminal,
  clock: Clock,
): Promise<ExitCode> {
  const request = requestOf(target, options)
  if (!options.execute) {
    show(terminal, options.output, { executed: false, ...request })
    terminal.say('Nothing was asked yet. The same with --execute asks it.')
    return EXIT.ok
  }
  const identity = identityOf(options, env)
  terminal.say(`Asking with id ${request.id}.`)
  const deadline = clock.monotonic() + identity.timeoutMs
  let answer = await askRevocation(identity, request)
  while (answer.state === 'unknown' && clock.monotonic() + ASK_AGAIN_MS < deadline) {
    await clock.sleep(ASK_AGAIN_MS)
    // The id makes it one revocation, however often it is asked.
    answer = await askRevocation(identity, request).catch(() => answer)
  }
  return tell(answer, options.output, terminal)
}

/** Asks what became of a revocation. */
export async function revocation(
  id: string,
  options: IdentityFlags,
  env: Readonly<Record<string, string | undefined>>,
  terminal: Terminal,
): Promise<ExitCode> {
  if (!UUID.test(id)) throw wrongArgument(`the id is a UUID as "revoke" prints it, not ${id}`)
  return tell(await askStatus(identityOf(options, env), id), options.output, terminal)
}

export const ANSWER_WORDS: Record<Answer['state'], string> = {
  acknowledged: 'Acknowledged: it is on the log; consumers apply it as they read on.',
  pending: 'Pending: durable in the store, it will be delivered. It is not on the log yet.',
  unknown: 'Unknown: ask again with this id, or ask for its state with "revocation <id>".',
  refused: 'Refused: nothing was changed.',
}

export const ANSWER_CODES: Record<Answer['state'], ExitCode> = {
  acknowledged: EXIT.ok,
  pending: EXIT.pending,
  unknown: EXIT.unknown,
  refused: EXIT.refused,
}

function tell(answer: Answer, format: Format, terminal: Terminal): ExitCode {
  show(terminal, format, answer)
  terminal.say(ANSWER_WORDS[answer.state])
  return ANSWER_CODES[answer.state]
}

function show(terminal: Terminal, format: Format, facts: object): void {
  const rows = Object.entries(facts).map(([key, value]) => [
    key,
    typeof value === 'object' ? JSON.stringify(value) : String(value),
  ])
  print(terminal, format, { json: facts, head: ['field', 'value'], rows })
}

function requestOf(text: string, { issuer, reason, scope, cause, requestId }: RevokeOptions): RevocationRequest {
  if (reason !== undefined && scope !== undefined) throw wrongArgument('give --reason or --scope, not both')
  if (reason !== undefined && !isReason(reason))
    throw wrongArgument(`--reason is one of ${REASONS.join(', ')}, not ${reason}`)
  const effect = scope === undefined ? undefined : `scope:${scope}`
  if (effect !== undefined && scopeOf(effect) === null) throw wrongArgument('--scope is the name of a scope')
  if (cause !== undefined && !/^[a-z0-9_]{1,64}$/.test(cause)) {
    throw wrongArgument('--cause is up to 64 lower-case letters, digits and underscores')
  }
  if (requestId !== undefined && !UUID.test(requestId)) throw wrongArgument('--request-id is a UUID')
  const target = targetOf(text)
  const { kind, tenant, id } = target
  if (effect !== undefined && kind !== 'affiliation')
    throw wrongArgument('--scope goes with a target affiliation:<tenant>/<subject>')
  return {
    id: requestId ?? randomUUID(),
    target:
      issuer === undefined
        ? { kind, ...(tenant !== '' && { tenant }), ...(id !== '' && { id }) }
        : foreignNameOf(issuer, target),
    ...(effect === undefined ? { reason: reason ?? 'admin' } : { effect }),
    ...(cause !== undefined && { cause }),
  }
}

/** Identity hashes the id itself: the key is not an operator's to hold. */
function foreignNameOf(issuer: string, { kind, tenant, id }: Target): ForeignName {
  switch (kind) {
    case 'subject':
      return { issuer, sub: id }
    case 'affiliation':
      return { issuer, sub: id, tenant }
    case 'session':
      return { issuer, sid: id }
    case 'client':
      return { issuer, client: id }
    case 'token':
      return { issuer, jti: id }
    default:
      throw wrongArgument(`--issuer goes with a subject, affiliation, session, client or token, not a ${kind}`)
  }
}

export function identityOf(options: IdentityFlags, env: Readonly<Record<string, string | undefined>>): IdentityOptions {
  const url = options.identity
  if (url === undefined || !/^https?:$/.test(URL.canParse(url) ? new URL(url).protocol : '')) {
    throw wrongArgument('--identity <url> says where identity is, for example http://127.0.0.1:8080')
  }
  // Not an option by value: the list of processes would show it.
  const secret = (
    options.secretFile === undefined ? env.COUNTERSIGN_OPERATOR_SECRET : readText(options.secretFile)
  )?.trim()
  if (!secret) throw wrongArgument('the operator secret comes by --secret-file <file> or COUNTERSIGN_OPERATOR_SECRET')
  return { url, secret, timeoutMs: durationOf('--timeout', options.timeout) }
}
