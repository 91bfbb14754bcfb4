/**
 * Configuration from the environment. Only `main.ts` of a service passes an environment; libraries
 * take options objects. Invariant: a key under the prefix that the schema does not know stops the start.
 */
import { readFileSync } from 'node:fs'
import { z } from 'zod'
import { CountersignError } from './error.ts'
import { Secret } from './secret.ts'
import { type Bytes, type Millis, parseBytes, parseMillis } from './units.ts'

/** How keys are found. */
export interface LoadConfigOptions {
  /** Default `COUNTERSIGN_`. */
  readonly prefix?: string
  /** Reads the file a `<KEY>_FILE` names. Default: from disk, one trailing newline dropped. */
  readonly readFile?: (path: string) => string
}

/** Thrown for a configuration that may not start; the message names every key at fault, never a value. */
export class ConfigError extends CountersignError<'KERNEL_CONFIG_INVALID'> {}

/**
 * Gives the frozen configuration that `env` describes. Field `httpPort` is read from
 * `COUNTERSIGN_HTTP_PORT`, or from the file `COUNTERSIGN_HTTP_PORT_FILE` names; an empty value is an absent one.
 * @param schema one zod field per key, made for strings: see `field`.
 * @throws {KERNEL_CONFIG_INVALID} with one line per key at fault: unknown, missing, given twice, unreadable, wrong.
 */
export function loadConfig<S extends z.ZodObject>(
  schema: S,
  env: Readonly<Record<string, string | undefined>>,
  options: LoadConfigOptions = {},
): Readonly<z.output<S>> {
  const { prefix = 'COUNTERSIGN_', readFile = (path) => readFileSync(path, 'utf8').replace(/\r?\n$/, '') } = options
  const problems: string[] = []
  const raw: Record<string, string> = {}
  const known = new Set<string>()
  for (const name of Object.keys(schema.shape)) {
    const key = prefix + snake(name)
    const fileKey = `${key}_FILE`
    known.add(key).add(fileKey)
    const value = env[key]
    const file = env[fileKey]
    if (value && file) problems.push(`${key}: given twice, also as ${fileKey}; give one`)
    else if (value) raw[name] = value
    else if (file) {
      try {
        raw[name] = readFile(file)
      } catch {
        problems.push(`${fileKey}: names a file that cannot be read`)
      }
    }
  }
  for (const key of Object.keys(env)) {
    if (key.startsWith(prefix) && !known.has(key))
      problems.push(
        `${key}: unknown; known are ${Object.keys(schema.shape)
          .map((n) => prefix + snake(n))
          .join(', ')}`,
      )
  }
  const result = schema.safeParse(raw)
  if (!result.success) {
    for (const issue of result.error.issues) {
      const name = String(issue.path[0] ?? '')
      const missing = name !== '' && raw[name] === undefined
      problems.push(`${prefix}${snake(name)}: ${missing ? 'missing' : issue.message}`)
    }
  }
  if (problems.length > 0 || !result.success) {
    throw new ConfigError({
      code: 'KERNEL_CONFIG_INVALID',
      retriable: false,
      publicMessage: `configuration refused\n  ${problems.join('\n  ')}`,
    })
  }
  return Object.freeze(result.data)
}

/** The configuration as lines `KEY=value` for people, sorted, secrets shown as `[secret]`. */
export function describeConfig(config: Readonly<Record<string, unknown>>, prefix = 'COUNTERSIGN_'): string {
  return Object.entries(config)
    .map(([name, value]) => `${prefix}${snake(name)}=${Array.isArray(value) ? value.join(',') : String(value)}`)
    .sort()
    .join('\n')
}

/** zod fields for environment strings; each message says what would be right. */
export const field = {
  text: (): z.ZodString => z.string().min(1, 'must not be empty'),
  secret: (): z.ZodType<Secret, string> =>
    z
      .string()
      .min(1, 'must not be empty')
      .transform((s) => new Secret(s)),
  publicKey: (): z.ZodType<Buffer, string> =>
    convert('must be a raw Ed25519 public key, 32 bytes in base64', (s) => {
      const key = Buffer.from(s.trim(), 'base64')
      return key.length === 32 ? key : undefined
    }),
  integer: (o: { min?: number; max?: number } = {}): z.ZodType<number, string> => {
    const { min = 0, max = Number.MAX_SAFE_INTEGER } = o
    return convert(`must be a whole number from ${min} to ${max}`, (s) => {
      const n = Number(s)
      return /^-?\d{1,16}$/.test(s) && n >= min && n <= max ? n : undefined
    })
  },
  port: (): z.ZodType<number, string> => field.integer({ min: 0, max: 65_535 }),
  flag: (): z.ZodType<boolean, string> => convert('must be true or false', (s) => ({ true: true, false: false })[s]),
  duration: (): z.ZodType<Millis, string> => convert('must be a duration such as 250ms, 5s, 3m, 2h or 1d', parseMillis),
  size: (): z.ZodType<Bytes, string> => convert('must be a size such as 512B, 16KiB or 64MiB', parseBytes),
  list: (): z.ZodType<readonly string[], string> =>
    convert('must be names separated by commas, none empty', (s) => {
      const items = s.split(',').map((i) => i.trim())
      return items.includes('') ? undefined : items
    }),
  url: (): z.ZodType<string, string> =>
    convert('must be an http or https address', (s) => (/^https?:\/\//.test(s) && URL.canParse(s) ? s : undefined)),
} as const

function convert<T>(message: string, parse: (text: string) => T | undefined): z.ZodType<T, string> {
  return z.string().transform((text, ctx) => {
    const value = parse(text)
    if (value === undefined) {
      ctx.addIssue({ code: 'custom', message })
      return z.NEVER
    }
    return value
  })
}

/** The environment key a field is read from. */
export function envKey(name: string, prefix = 'COUNTERSIGN_'): string {
  return prefix + snake(name)
}

function snake(name: string): string {
  return name.replace(/([a-z0-9])([A-Z])/g, '$1_$2').toUpperCase()
}
