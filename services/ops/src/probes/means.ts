/** What doctor probes with: never on the command line, and each good for nothing but probing. */
import { ed25519Key } from '@countersign/envelope'
import { readText } from '../connection.ts'
import { wrongArgument } from '../errors.ts'
import { ask, textsOf } from './asking.ts'
import type { Offered } from './cross-checks.ts'
import { OwnTokens } from './tokens.ts'
import type { WorkerProbing } from './workers.ts'

export interface ProbeOptions {
  identity?: string
  worker?: string[]
  envelopeKeyFile?: string
  envelopeKeyId: string
  probeTenant: string
  probeSecretFile?: string
  gateway?: string
  client: string
  clientSecretFile?: string
  sessionFile?: string
}

type Environment = Readonly<Record<string, string | undefined>>

export const PROBE_HELP = `
Probes. Nothing runs: a worker opens and decides (POST /v1/job-classes/<name>/probe), a gateway checks
(/check/…). Each is shown one that must pass, and, one after the other, ones with a wrong audience, with
a stale version, and without each claim it demands. Give doctor, for that and nothing else:
  for workers   an envelope key granted for one tenant that owns nothing, made with the other keys:
                identity keys init --dir <folder> --envelope doctor=doctor
                and the secret the workers have as COUNTERSIGN_PROBE_SECRET
  for gateways  a client "doctor" at identity: grant client_credentials, a service account in that tenant
                with the roles the routes need, and as audiences first one of its own that no route has,
                then those of the routes. The tokens it gets are ended when doctor is done.
                For routes that demand a strong login, the session cookie of somebody who did, name=value.
Exit code 0 when nothing fails, 3 when a check does; warnings and what was skipped do not count.`

/** @throws {OPS_ARGUMENT_INVALID} when only half of it is given, or the key is none. */
export function meansOf(options: ProbeOptions, env: Environment): WorkerProbing['means'] {
  const { envelopeKeyFile, envelopeKeyId, probeTenant } = options
  const secret = secretOf(options.probeSecretFile, env.COUNTERSIGN_PROBE_SECRET)
  if (envelopeKeyFile === undefined) return null
  if (secret === null) throw wrongArgument('--envelope-key-file needs --probe-secret-file or COUNTERSIGN_PROBE_SECRET')
  const pem = readText(envelopeKeyFile)
  try {
    return { secret, tenant: probeTenant, key: ed25519Key(envelopeKeyId, pem) }
  } catch {
    throw wrongArgument(`${envelopeKeyFile} holds no Ed25519 private key in PKCS#8 PEM`)
  }
}

/** @throws {OPS_ARGUMENT_INVALID} when there is a secret and no identity to show it to. */
export function tokensOf(options: ProbeOptions, env: Environment, timeoutMs: number): OwnTokens | null {
  const secret = secretOf(options.clientSecretFile, env.COUNTERSIGN_DOCTOR_CLIENT_SECRET)
  if (secret === null || options.gateway === undefined) return null
  if (options.identity === undefined) throw wrongArgument('--gateway with a client needs --identity <url>')
  return new OwnTokens({ identity: options.identity, id: options.client, secret, timeoutMs })
}

/** Of somebody who logged in strongly. */
export function sessionOf({ sessionFile }: ProbeOptions): string | null {
  return secretOf(sessionFile, undefined)
}

/** What identity says it offers (RFC 8414); null when it says nothing. */
export async function offeredBy(identity: string, timeoutMs: number): Promise<Offered | null> {
  try {
    const { status, body } = await ask(new URL('/.well-known/oauth-authorization-server', identity), timeoutMs)
    const scopes = textsOf(body, 'scopes_supported')
    return status === 200 && scopes !== null ? { scopes, acrs: textsOf(body, 'acr_values_supported') } : null
  } catch {
    return null
  }
}

function secretOf(file: string | undefined, given: string | undefined): string | null {
  const text = file === undefined ? given : readText(file)
  return text === undefined || text.trim() === '' ? null : text.trim()
}
