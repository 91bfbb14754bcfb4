/** From options to a log, a catalogue and root keys. Opens nothing that does not exist. */
import { existsSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { EventLog } from '@countersign/event-log'
import { type KafkaLog, openKafkaLog } from '@countersign/event-log/kafka'
import { openSqliteLog } from '@countersign/event-log/sqlite'
import { parseMillis, systemClock } from '@countersign/kernel'
import {
  type Catalogue,
  catalogue,
  exampleCatalogue,
  exampleJobTopics,
  readSignalsLogs,
  type SignalsLog,
} from '@countersign/schemas'
import { OpsError, wrongArgument } from './errors.ts'
import { logSilent, patient, withDeadline } from './patience.ts'
import type { Format } from './terminal.ts'

/** Options every command that reads the log has. */
export interface LogOptions {
  data?: string
  log?: string
  brokers?: string
  registry?: string
  catalogue?: string
  /** Signals logs beside `main`, JSON as servers have it; of the example services. */
  signalsLogs?: string
  /** How long a silent log is waited for. */
  deadline?: string
  output: Format
}

/** Where the log is. */
export type Place = (
  | { readonly kind: 'sqlite'; readonly path: string }
  | { readonly kind: 'kafka'; readonly brokers: string[]; readonly registryUrl: string }
) & {
  /** Most milliseconds of silence. */
  readonly waitMs: number
}

const CLIENT_ID = 'countersign-ops'
const WAIT_MS = 15_000

/** The place of the environment, for a command line that names none. */
export function withEnvironment<O extends LogOptions>(given: O, env: Readonly<Record<string, string | undefined>>): O {
  const { COUNTERSIGN_SIGNALS_LOGS: signalsLogs } = env
  if (given.signalsLogs !== undefined || signalsLogs === undefined) return placedBy(given, env)
  return placedBy({ ...given, signalsLogs }, env)
}

function placedBy<O extends LogOptions>(options: O, env: Readonly<Record<string, string | undefined>>): O {
  if ([options.data, options.log, options.brokers].some((one) => one !== undefined)) {
    const registry = options.registry ?? (options.brokers === undefined ? undefined : env.COUNTERSIGN_REGISTRY_URL)
    return { ...options, ...(registry !== undefined && { registry }) }
  }
  const found = {
    data: env.COUNTERSIGN_DATA,
    log: env.COUNTERSIGN_LOG_PATH,
    brokers: env.COUNTERSIGN_KAFKA_BROKERS,
    registry: options.registry ?? (env.COUNTERSIGN_KAFKA_BROKERS && env.COUNTERSIGN_REGISTRY_URL),
  }
  return { ...options, ...Object.fromEntries(Object.entries(found).filter(([, value]) => value !== undefined)) }
}

/** @throws {OPS_ARGUMENT_INVALID} unless exactly one place is named in full. */
export function placeOf({ data, log, brokers, registry, deadline }: LogOptions): Place {
  const waitMs = deadline === undefined ? WAIT_MS : durationOf('--deadline', deadline)
  const given = [data, log, brokers].filter((one) => one !== undefined)
  if (given.length !== 1) throw wrongArgument('name one log: --data <dir>, --log <file>, or --brokers with --registry')
  if (brokers === undefined) {
    if (registry !== undefined) throw wrongArgument('--registry goes with --brokers')
    return { kind: 'sqlite', path: resolve(log ?? join(data!, 'log.db')), waitMs }
  }
  if (registry === undefined) throw wrongArgument('--brokers needs --registry <url>')
  return { kind: 'kafka', brokers: brokers.split(',').map((address) => address.trim()), registryUrl: registry, waitMs }
}

/** Opens what is there; creates neither file nor topic. @throws {OPS_LOG_SILENT} from here on, whenever it does not answer. */
export async function openPlace(place: Place, catalogue: Catalogue): Promise<EventLog | KafkaLog> {
  const { waitMs } = place
  const opening =
    place.kind === 'sqlite'
      ? openSqliteLog({ path: place.path, catalogue, create: false })
      : openKafka(place, catalogue)
  const silent = (): OpsError => logSilent(waitMs)
  return patient(await withDeadline<EventLog | KafkaLog>(opening, systemClock, waitMs, silent), systemClock, waitMs)
}

function openKafka(place: Extract<Place, { kind: 'kafka' }>, catalogue: Catalogue): Promise<KafkaLog> {
  const registryDeadlineMs = Math.min(10_000, place.waitMs)
  return openKafkaLog({
    ...kafkaOf(place),
    catalogue,
    registryDeadlineMs,
    appendDeadlineMs: Math.min(5_000, place.waitMs),
  })
}

export function kafkaOf({ brokers, registryUrl }: Extract<Place, { kind: 'kafka' }>): {
  brokers: string[]
  registryUrl: string
  clientId: string
} {
  return { brokers, registryUrl, clientId: CLIENT_ID }
}

function exampleWith(signalsLogs: string): Catalogue {
  try {
    return catalogue(exampleJobTopics, { logs: readSignalsLogs(signalsLogs) })
  } catch (error) {
    throw wrongArgument(`--signals-logs ${(error as RangeError).message}`)
  }
}

/** @throws {OPS_ARGUMENT_INVALID} when the catalogue has no signals log of that name. */
export function signalsLogOf({ signalsLogs }: Catalogue, name: string): SignalsLog {
  const found = signalsLogs.find((log) => log.name === name)
  if (found) return found
  throw wrongArgument(`--signals-log is one of ${signalsLogs.map((log) => log.name).join(', ')}, not ${name}`)
}

/** The catalogue of the example services, or the `catalogue` (or default) export of a module. */
export async function catalogueOf({ catalogue: file, signalsLogs }: LogOptions): Promise<Catalogue> {
  if (file === undefined) return signalsLogs === undefined ? exampleCatalogue : exampleWith(signalsLogs)
  const refused = (cause?: unknown): OpsError =>
    new OpsError({
      code: 'OPS_CATALOGUE_INVALID',
      retriable: false,
      publicMessage: `${file} is not a module that exports a catalogue, as catalogue([...]) of @countersign/schemas makes it`,
      cause,
    })
  let module: { catalogue?: Catalogue; default?: Catalogue }
  try {
    module = await import(pathToFileURL(resolve(file)).href)
  } catch (error) {
    throw refused(error)
  }
  const found = module.catalogue ?? module.default
  if (typeof found?.byName !== 'function' || !Array.isArray(found.entries)) throw refused()
  return found
}

/**
 * Raw root public keys: given in base64, in files that hold base64, or beside the embedded log.
 * @returns empty when none were given and none lie there.
 */
export function rootKeysOf(
  options: LogOptions & { rootKey?: readonly string[]; rootKeyFile?: readonly string[] },
): Buffer[] {
  const files = [...(options.rootKeyFile ?? [])]
  const given = options.rootKey ?? []
  if (files.length + given.length === 0 && options.data !== undefined) {
    const beside = [join(options.data, 'root.pub'), join(options.data, 'keys', 'root.pub')].find(existsSync)
    if (beside) files.push(beside)
  }
  return [...given, ...files.map(readText)].map((text) => {
    const key = Buffer.from(text.trim(), 'base64')
    if (key.length === 32) return key
    throw new OpsError({
      code: 'OPS_ROOT_KEY_INVALID',
      retriable: false,
      publicMessage: 'a root key is a raw Ed25519 public key, 32 bytes in base64, as identity writes root.pub',
    })
  })
}

/** @throws {OPS_ARGUMENT_INVALID} when the file cannot be read. */
export function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    throw wrongArgument(`${file} cannot be read`)
  }
}

/** @throws {OPS_ARGUMENT_INVALID} for anything but `250ms`, `5s`, `3m`, `2h`, `1d`. */
export function durationOf(option: string, text: string): number {
  const found = parseMillis(text)
  if (found === undefined) throw wrongArgument(`${option} is a duration such as 5s, 3m, 2h or 7d, not ${text}`)
  return found
}

/** @throws {OPS_ARGUMENT_INVALID} for anything but a whole number of at least `least`. */
export function countOf(option: string, text: string, least = 1): number {
  const found = Number(text)
  if (!/^\d{1,15}$/.test(text) || found < least) {
    throw wrongArgument(`${option} is a whole number of at least ${least}, not ${text}`)
  }
  return found
}
