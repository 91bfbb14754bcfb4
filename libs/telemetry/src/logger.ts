/**
 * Structured logs, JSON, one line each. Owns the only use of pino. Invariant: a text reaches a line
 * only under a listed field name and only if it does not look like a token; numbers and flags always do.
 */
import { isCountersignError } from '@countersign/kernel'
import { pino } from 'pino'
import { TEXT_FIELDS } from './names.ts'

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'
export type LogFields = Readonly<Record<string, unknown>>

/** Writes log lines. Never throws. */
export interface Logger {
  debug(fields: LogFields, message: string): void
  info(fields: LogFields, message: string): void
  warn(fields: LogFields, message: string): void
  error(fields: LogFields, message: string): void
  /** @returns a logger that adds `fields` to every line. */
  child(fields: LogFields): Logger
}

export interface LoggerOptions {
  /** Component that logs. */
  readonly name: string
  /** Default `info`. */
  readonly level?: LogLevel | 'silent'
  /** Where lines go. Default: standard output. */
  readonly destination?: { write(line: string): void }
}

const WITHHELD = '[withheld]'
// A JWT, a credential in an address, one that identity makes, or a run long enough to be a key: withheld even under a
// listed name.
const TOKEN_LIKE =
  /:\/\/[^/]*@|eyJ[\w-]{4,}\.[\w-]+|Bearer\s|whsec_|-----BEGIN|[\w-]{80,}|(?<![\w-])(?:ac|api|at|cs)_[\w-]{40}|(?<![\w-])rt_\w+/

/** @returns a logger whose messages are constants and whose fields pass the allow-list of `names.ts`. */
export function createLogger(options: LoggerOptions): Logger {
  const { name, level = 'info', destination } = options
  const settings = { name, level, base: { name }, formatters: { level: (label: string) => ({ level: label }) } }
  return wrap(destination ? pino(settings, destination) : pino(settings))
}

/** Drops every line. */
export const silentLogger: Logger = {
  debug() {},
  info() {},
  warn() {},
  error() {},
  child: () => silentLogger,
}

interface Sink {
  debug(o: object, m: string): void
  info(o: object, m: string): void
  warn(o: object, m: string): void
  error(o: object, m: string): void
  isLevelEnabled(level: string): boolean
  child(o: object): Sink
}

function wrap(sink: Sink): Logger {
  return {
    debug(fields, message) {
      if (sink.isLevelEnabled('debug')) sink.debug(allowed(fields), message)
    },
    info(fields, message) {
      if (sink.isLevelEnabled('info')) sink.info(allowed(fields), message)
    },
    warn: (fields, message) => sink.warn(allowed(fields), message),
    error: (fields, message) => sink.error(allowed(fields), message),
    child: (fields) => wrap(sink.child(allowed(fields))),
  }
}

/** What of `fields` may be written. Exported for the proof that canaries do not pass. */
export function allowed(fields: LogFields): Record<string, unknown> {
  const out: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(fields)) out[name] = admit(name, value, 0)
  return out
}

function admit(name: string, value: unknown, depth: number): unknown {
  if (value === null || value === undefined || typeof value === 'number' || typeof value === 'boolean') return value
  if (typeof value === 'bigint') return String(value)
  if (value instanceof Error) return describe(value)
  if (typeof value === 'string')
    return TEXT_FIELDS.has(name) && !TOKEN_LIKE.test(value) ? value.slice(0, 500) : WITHHELD
  if (depth >= 3 || typeof value !== 'object' || ArrayBuffer.isView(value)) return WITHHELD
  if (Array.isArray(value)) return value.slice(0, 50).map((item) => admit(name, item, depth + 1))
  const out: Record<string, unknown> = {}
  for (const [key, item] of Object.entries(value)) out[key] = admit(key, item, depth + 1)
  return out
}

// Messages of foreign errors can quote what they failed on, so only their kind and place are written.
function describe(error: Error): Record<string, unknown> {
  const frames = error.stack
    ?.split('\n')
    .filter((line) => /^\s+at /.test(line))
    .slice(0, 8)
    .map((line) => line.trim())
  if (isCountersignError(error)) {
    return {
      type: error.name,
      code: error.code,
      message: error.publicMessage,
      ...allowed(error.detail),
      frames,
      ...cause(error),
    }
  }
  const code = 'code' in error && typeof error.code === 'string' ? { code: error.code } : {}
  const syscall = 'syscall' in error && typeof error.syscall === 'string' ? { syscall: error.syscall } : {}
  return { type: error.name, ...code, ...syscall, frames, ...cause(error) }
}

function cause(error: Error): { cause?: unknown } {
  return error.cause instanceof Error && error.cause !== error ? { cause: describe(error.cause) } : {}
}
