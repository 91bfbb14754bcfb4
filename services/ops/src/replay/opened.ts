/** What every replay begins with: one signals log, opened, and keys to verify it by. */
import type { Range, SignalFilter, VerifiedLog } from '@countersign/evidence'
import type { Clock } from '@countersign/kernel'
import { isEffect, REASONS, reasonEffect } from '@countersign/revocation'
import type { Catalogue } from '@countersign/schemas'
import { rangeOf } from '../bounds.ts'
import {
  catalogueOf,
  durationOf,
  type LogOptions,
  openPlace,
  placeOf,
  rootKeysOf,
  signalsLogOf,
} from '../connection.ts'
import { OpsError, wrongArgument } from '../errors.ts'
import { targetOf } from '../targets.ts'

export interface ReplayOptions extends LogOptions {
  signalsLog: string
  from: string
  to: string
  epsilon: string
  /** Refused unless the log has this id. */
  logId?: string
  rootKey?: string[]
  rootKeyFile?: string[]
}

export interface FilterOptions {
  target?: string[]
  tenant?: string
  reason?: string[]
  scope?: string[]
}

export interface Opened extends VerifiedLog {
  readonly catalogue: Catalogue
  readonly range: Range
  /** Ends it where this is not the log that was meant. @throws {OPS_LOG_UNKNOWN} {OPS_LOG_OTHER} */
  assertId(logId: string | null): string
}

/** Checks every argument before anything is opened. The caller closes `log`. */
export async function openForReplay(
  options: Omit<ReplayOptions, 'from' | 'to'> & Partial<ReplayOptions>,
  clock: Clock,
): Promise<Opened> {
  const place = placeOf(options)
  const range = rangeOf({ from: options.from ?? 'start', to: options.to ?? 'end' }, clock)
  const epsilonMs = durationOf('--epsilon', options.epsilon)
  const rootKeys = rootKeysOf(options)
  if (rootKeys.length === 0)
    throw wrongArgument('a replay verifies what it reads: name a root key, --root-key or --root-key-file')
  const catalogue = await catalogueOf(options)
  const signalsLog = signalsLogOf(catalogue, options.signalsLog)
  const log = await openPlace(place, catalogue)
  const assertId = (logId: string | null): string => {
    if (logId === null) throw unknown(signalsLog.topic)
    if (options.logId !== undefined && options.logId !== logId) throw other(logId, options.logId)
    return logId
  }
  return { log, catalogue, signalsLog, rootKeys, epsilonMs, range, assertId }
}

/** @throws {OPS_ARGUMENT_INVALID} */
export function filterOptions({ target, tenant, reason, scope }: FilterOptions): SignalFilter {
  for (const one of reason ?? []) {
    if (!(REASONS as readonly string[]).includes(one))
      throw wrongArgument(`--reason is one of ${REASONS.join(', ')}, not ${one}`)
  }
  const effects = [
    ...(reason ?? []).map((one) => reasonEffect(one as (typeof REASONS)[number])),
    ...(scope ?? []).map((one) => `scope:${one}`),
  ]
  if (!effects.every(isEffect)) throw wrongArgument('--scope is the name of a scope')
  return {
    ...(target && { targets: target.map(targetOf) }),
    ...(tenant !== undefined && { tenant }),
    ...(effects.length > 0 && { effects }),
  }
}

function unknown(topic: string): OpsError {
  const publicMessage = `no trust bundle under these root keys stands on ${topic}: it is another cluster, or another root key`
  return new OpsError({ code: 'OPS_LOG_UNKNOWN', retriable: false, publicMessage })
}

function other(logId: string, wanted: string): OpsError {
  return new OpsError({
    code: 'OPS_LOG_OTHER',
    retriable: false,
    publicMessage: `this is the log ${logId}, not ${wanted}`,
  })
}
