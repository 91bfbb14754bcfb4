import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { ConfigError, describeConfig, field, loadConfig } from './config.ts'
import { Secret } from './secret.ts'
import { bytes, days, hours, kibibytes, mebibytes, millis, minutes, parseBytes, parseMillis, seconds } from './units.ts'

const schema = z.object({
  httpPort: field.port(),
  staleAfterMs: field.duration().prefault('5s'),
  apiKey: field.secret(),
  roles: field.list().optional(),
})

const messageOf = (env: Record<string, string>): string => {
  try {
    loadConfig(schema, env)
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError)
    return (error as ConfigError).publicMessage
  }
  return ''
}

const GOOD = { COUNTERSIGN_HTTP_PORT: '8080', COUNTERSIGN_API_KEY: 'canary' }

test('reads what the schema names, and nothing else', () => {
  const config = loadConfig(schema, {
    ...GOOD,
    COUNTERSIGN_ROLES: 'http, notary',
    PATH: '/bin',
    COUNTERSIGN_STALE_AFTER_MS: '',
  })
  expect(config).toMatchObject({ httpPort: 8080, staleAfterMs: 5000, roles: ['http', 'notary'] })
  expect(config.apiKey.reveal()).toBe('canary')
  expect(Object.isFrozen(config)).toBe(true)
})

test('every key at fault is named, with what would be right, and no value', () => {
  const message = messageOf({
    COUNTERSIGN_HTTP_PORT: 'canary',
    COUNTERSIGN_STALE_AFTER_MS: '5000',
    COUNTERSIGN_ROLE: 'canary',
    COUNTERSIGN_ROLES: 'a,,b',
  })
  expect(message).toContain('COUNTERSIGN_HTTP_PORT: must be a whole number from 0 to 65535')
  expect(message).toContain('COUNTERSIGN_STALE_AFTER_MS: must be a duration such as')
  expect(message).toContain('COUNTERSIGN_API_KEY: missing')
  expect(message).toMatch(/COUNTERSIGN_ROLE: unknown; known are .*COUNTERSIGN_ROLES/)
  expect(message).toContain('COUNTERSIGN_ROLES: must be names separated by commas')
  expect(message).not.toContain('canary')
})

test('a secret may stand in a file, and only in one place', () => {
  const folder = mkdtempSync(join(tmpdir(), 'config-'))
  try {
    writeFileSync(join(folder, 'key'), 'from file\n')
    const env = { COUNTERSIGN_HTTP_PORT: '1', COUNTERSIGN_API_KEY_FILE: join(folder, 'key') }
    expect(loadConfig(schema, env).apiKey.reveal()).toBe('from file')
    expect(messageOf({ ...env, COUNTERSIGN_API_KEY: 'x' })).toContain('given twice')
    expect(messageOf({ ...env, COUNTERSIGN_API_KEY_FILE: join(folder, 'none') })).toContain(
      'COUNTERSIGN_API_KEY_FILE: names a file that cannot be read',
    )
  } finally {
    rmSync(folder, { recursive: true })
  }
})

test('a secret does not print itself', () => {
  const config = loadConfig(schema, GOOD)
  for (const text of [
    describeConfig(config),
    JSON.stringify(config),
    inspect(config),
    `${config.apiKey}`,
    String(new Secret('canary')),
  ]) {
    expect(text).toContain('[secret]')
    expect(text).not.toContain('canary')
  }
  expect(describeConfig(config)).toBe(
    'COUNTERSIGN_API_KEY=[secret]\nCOUNTERSIGN_HTTP_PORT=8080\nCOUNTERSIGN_STALE_AFTER_MS=5000',
  )
})

test('fields refuse what is not theirs', () => {
  const one = (type: z.ZodType, value: string) => type.safeParse(value).success
  for (const bad of ['', '-1', '1.5', '1e3', ' 1', '65536', 'x']) expect(one(field.port(), bad)).toBe(false)
  for (const bad of ['1', 'yes', 'TRUE']) expect(one(field.flag(), bad)).toBe(false)
  for (const bad of ['ftp://x', 'localhost:1', 'http://']) expect(one(field.url(), bad)).toBe(false)
  const key = Buffer.alloc(32, 7)
  for (const bad of ['', 'canary', ...[31, 33].map((bytes) => Buffer.alloc(bytes).toString('base64'))])
    expect(one(field.publicKey(), bad)).toBe(false)
  expect(field.publicKey().parse(`${key.toString('base64')}\n`)).toEqual(key)
  expect(field.flag().parse('false')).toBe(false)
  expect(field.url().parse('http://127.0.0.1:1/x')).toBe('http://127.0.0.1:1/x')
})

test('units are what they are called', () => {
  expect([millis(1), seconds(5), minutes(2), hours(1), days(1)]).toEqual([1, 5000, 120_000, 3_600_000, 86_400_000])
  expect([bytes(1), kibibytes(16), mebibytes(1)]).toEqual([1, 16_384, 1_048_576])
  expect(['250ms', '5s', '3m', '2h', '1d'].map(parseMillis)).toEqual([250, 5000, 180_000, 7_200_000, 86_400_000])
  expect(['512B', '16KiB', '64MiB'].map(parseBytes)).toEqual([512, 16_384, 67_108_864])
  for (const text of ['5', '5 s', '-5s', '1.5s', '5S', '5KiB', '', '999999999999d'])
    expect(parseMillis(text)).toBeUndefined()
  for (const text of ['5', '5KB', '5s', '1.5MiB']) expect(parseBytes(text)).toBeUndefined()
})
