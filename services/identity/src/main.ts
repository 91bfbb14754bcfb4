#!/usr/bin/env node
/** Environment, signals, exit. */
import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { runProcess, usageError } from '@countersign/host'
import { envKey, loadConfig, systemClock, systemRandom } from '@countersign/kernel'
import type { KeyUse } from '@countersign/schemas'
import type { SessionStore } from '@countersign/session-store'
import { createLogger } from '@countersign/telemetry'
import { startIdentity } from './app.ts'
import { contradictions, identityConfig, type StoreConfig, storeConfig, storeContradictions } from './config.ts'
import { TotpSecrets } from './factors/totp.ts'
import { secretHash } from './http/guard.ts'
import { addKey, initKeys, type KeyOrder, readStoreSecrets } from './key-files.ts'
import { openStore } from './parts.ts'
import { passwords } from './people/passwords.ts'
import { applySeed, parseSeed } from './seed.ts'

const { env } = process

await runProcess({
  name: 'identity',
  purpose: 'source of truth for sessions and versions, and the notary of the signals log',
  config: identityConfig,
  check: (config) => contradictions(config, env.NODE_ENV),
  logger: ({ logLevel }) => createLogger({ name: 'identity', level: logLevel }),
  start: (config, logger) => {
    // What is not a failure is told too, unless nothing is.
    const level = config.logLevel === 'silent' || config.logLevel === 'debug' ? config.logLevel : 'info'
    return startIdentity({ config, logger, journey: createLogger({ name: 'journey', level }) })
  },
  commands: {
    keys: {
      purpose:
        'init --dir <folder> [--checkpoints <n>] [--envelope <name>[=<tenants>[:<topics>]]]… [--derive …]…: make all keys; add --dir <folder> --envelope …|--derive …: make more',
      run: keys,
    },
    seed: {
      purpose: '<file>: make the accounts and secrets of a seed file; the store as when serving',
      run: seed,
    },
    secrets: { purpose: 'add <name> --use service|operator: make a secret and print it, once', run: secrets },
  },
  argv: process.argv.slice(2),
  env,
})

async function keys(args: readonly string[]): Promise<void> {
  const { values, positionals } = options(args, {
    dir: { type: 'string' },
    checkpoints: { type: 'string', default: '2' },
    envelope: { type: 'string', multiple: true, default: [] },
    derive: { type: 'string', multiple: true, default: [] },
  })
  const checkpoints = Number(values.checkpoints)
  const dir = values.dir
  const of = (use: KeyUse): KeyOrder[] => (values[use] as string[]).map((text) => order(text, use))
  const orders = [...of('envelope'), ...of('derive')]
  const making = { now: systemClock.now(), random: systemRandom }
  const [act, ...rest] = positionals
  if (act === 'init' && rest.length === 0 && typeof dir === 'string' && checkpoints >= 1 && checkpoints <= 16) {
    const made = initKeys({ dir, checkpoints, orders, ...making })
    process.stdout.write(`${dir}: ${made.join(', ')}\n`)
  } else if (act === 'add' && rest.length === 0 && typeof dir === 'string' && orders.length > 0) {
    for (const order of orders) addKey({ dir, order, ...making })
    process.stdout.write(`${dir}: ${orders.map(({ name }) => name).join(', ')}\n`)
  } else {
    throw usageError(
      'identity keys init --dir <folder> [--checkpoints 1..16] [--envelope <name>[=<tenants>[:<topics>]]]… [--derive …]…, or identity keys add --dir <folder> --envelope …|--derive …',
    )
  }
}

// name, name=tenant,tenant or name=tenants:topics; `*` or nothing for all.
function order(text: string, use: KeyUse): KeyOrder {
  const [name = '', scope = ''] = text.split('=', 2)
  const [tenants = '', topics = ''] = scope.split(':', 2)
  const list = (part: string): string[] => (part === '' ? ['*'] : part.split(','))
  return { name, use, tenants: list(tenants), topics: list(topics) }
}

async function seed([file, ...rest]: readonly string[]): Promise<void> {
  if (file === undefined || rest.length > 0) throw usageError('identity seed <file>')
  const parts = parseSeed(readFileSync(file, 'utf8'))
  const { data: cost, error } = identityConfig.shape.passwordCost.safeParse(env.COUNTERSIGN_PASSWORD_COST)
  if (error) throw usageError(`COUNTERSIGN_PASSWORD_COST: ${error.issues[0]?.message}`)
  await withStore(async (store) => {
    const random = systemRandom
    const made = await applySeed(parts, {
      store,
      passwords: passwords({ random, cost }),
      totp: env.COUNTERSIGN_KEYS_DIR
        ? new TotpSecrets({ secrets: readStoreSecrets(env.COUNTERSIGN_KEYS_DIR, random), random })
        : null,
      random,
      now: systemClock.now(),
    })
    process.stdout.write(`${made} accounts made\n`)
  })
}

async function secrets(args: readonly string[]): Promise<void> {
  const { values, positionals } = options(args, { use: { type: 'string' } })
  const [act, name] = positionals
  const use = values.use
  if (
    act !== 'add' ||
    name === undefined ||
    !/^[a-z0-9-]{1,64}$/.test(name) ||
    (use !== 'service' && use !== 'operator' && use !== 'revoker')
  ) {
    throw usageError('identity secrets add <name> --use service|operator|revoker')
  }
  const secret = systemRandom.bytes(32).toString('base64url')
  await withStore((store) => store.putSecret({ name, use, hash: secretHash(secret) }))
  process.stdout.write(`${secret}\n`)
}

async function withStore(act: (store: SessionStore) => Promise<void>): Promise<void> {
  const config = configOfStore()
  const store = await openStore(config, { clock: systemClock, random: systemRandom })
  try {
    await act(store)
  } finally {
    await store.close()
  }
}

/** The part of the environment that says where the store is; a tool needs no more of it. */
function configOfStore(): StoreConfig {
  const keys = Object.keys(storeConfig.shape).flatMap((name) => [envKey(name), `${envKey(name)}_FILE`])
  const config = loadConfig(storeConfig, Object.fromEntries(keys.map((key) => [key, env[key]])))
  const wrong = storeContradictions(config)
  if (wrong.length > 0) throw usageError(wrong.join('\n'))
  return config
}

type Options = NonNullable<NonNullable<Parameters<typeof parseArgs>[0]>['options']>

function options(args: readonly string[], wanted: Options): { values: Record<string, unknown>; positionals: string[] } {
  try {
    return parseArgs({ args: [...args], options: wanted, allowPositionals: true })
  } catch {
    throw usageError('unknown option; try --help')
  }
}
