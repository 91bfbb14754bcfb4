/**
 * Keys on disk: made by `identity keys init`, read by the roles that sign. Private files are for their
 * owner alone, and refused when others may read them. A key's id is its file's name.
 */
import {
  chmodSync,
  existsSync,
  linkSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { ed25519Key, generateEd25519, type SigningKey } from '@countersign/envelope'
import { CountersignError, days, type Random } from '@countersign/kernel'
import type { KeyGrant, KeyUse } from '@countersign/schemas'
import { z } from 'zod'

/** A key to make. */
export interface KeyOrder {
  readonly name: string
  readonly use: KeyUse
  readonly tenants: readonly string[]
  readonly topics: readonly string[]
}

/** Id of the key that signs signals. */
export const SIGNAL_KEY = 'signal'
/** Id of the key that vouches for consumers. */
export const CONSUMER_KEY = 'consumer'
/** Id of the key that signs checkpoints of the audit archive. */
export const AUDIT_KEY = 'audit'

const GRANTS_FILE = 'keys.json'
const ROOT_FILE = 'root.pub'
const STORE_FILES = ['store.secret', 'store.previous.secret'] as const
const STORE_SECRET_BYTES = 32
const NAME = /^[a-z0-9][a-z0-9-]{0,47}$/

const grantsFile = z.strictObject({
  keys: z.array(
    z.strictObject({
      key_id: z.string().regex(NAME),
      public_key: z.base64().refine((text) => Buffer.from(text, 'base64').length === 32),
      use: z.enum(['envelope', 'derive', 'signal', 'checkpoint', 'progress', 'audit']),
      tenants: z.array(z.string().min(1)),
      topics: z.array(z.string().min(1)),
      not_before: z.int(),
      not_after: z.int(),
    }),
  ),
})

/**
 * Makes a root key, one signal key, checkpoint keys, one key each to vouch for consumers and to sign the audit archive, the
 * ordered envelope keys and the secret of the store in `dir`.
 * @returns names of the keys made.
 * @throws {IDENTITY_KEYS_EXIST} when the folder has a root already: nothing is overwritten.
 * @throws {IDENTITY_KEY_NAME_INVALID} for a name that is not lower-case letters, digits and dashes.
 */
export function initKeys(options: {
  dir: string
  checkpoints: number
  orders: readonly KeyOrder[]
  now: number
  random: Random
  lifeMs?: number
}): string[] {
  const { dir, checkpoints, now, random, lifeMs = days(365) } = options
  mkdirSync(dir, { recursive: true, mode: 0o700 })
  if (existsSync(join(dir, ROOT_FILE)))
    throw keyError('IDENTITY_KEYS_EXIST', `${dir} has keys already; nothing was changed`)
  const all: KeyOrder[] = [
    { name: SIGNAL_KEY, use: 'signal', tenants: ['*'], topics: ['*'] },
    ...Array.from(
      { length: checkpoints },
      (_, i): KeyOrder => ({ name: `checkpoint-${i + 1}`, use: 'checkpoint', tenants: ['*'], topics: ['*'] }),
    ),
    // No tenant and no topic: a reader that does not know the use takes it for `derive`, and such a key signs nothing.
    { name: CONSUMER_KEY, use: 'progress', tenants: [], topics: [] },
    { name: AUDIT_KEY, use: 'audit', tenants: [], topics: [] },
    ...options.orders,
  ]
  for (const order of all) assertName(order)
  const grants = all.map((order) => granted(dir, order, { now, random, lifeMs }))
  writeFileSync(join(dir, GRANTS_FILE), `${JSON.stringify({ keys: grants }, null, 2)}\n`, { flag: 'wx' })
  readStoreSecrets(dir, random)
  // Last: its presence says that the folder is complete.
  writeFileSync(join(dir, ROOT_FILE), `${makeKey(dir, 'root', random).toString('base64')}\n`, { flag: 'wx' })
  return ['root', ...all.map((order) => order.name)]
}

/**
 * Makes one key more, in a folder that has keys. It stands in the next bundle, and signs once consumers know it.
 * @throws {IDENTITY_KEYS_EXIST} when there is a key of that name, or was: its file is never overwritten.
 * @throws {IDENTITY_KEY_NAME_INVALID} {IDENTITY_KEYS_UNREADABLE}
 */
export function addKey(options: { dir: string; order: KeyOrder; now: number; random: Random; lifeMs?: number }): void {
  const { dir, order, now, random, lifeMs = days(365) } = options
  assertName(order)
  const path = join(dir, GRANTS_FILE)
  const { keys } = read(path, () => grantsFile.parse(JSON.parse(readFileSync(path, 'utf8'))))
  if (keys.some(({ key_id }) => key_id === order.name) || existsSync(join(dir, `${order.name}.key.pem`)))
    throw keyError('IDENTITY_KEYS_EXIST', `${dir} has a key ${order.name} already; nothing was changed`)
  const all = [...keys, granted(dir, order, { now, random, lifeMs })]
  // Whole or not at all: the notary may be reading it.
  writeFileSync(`${path}.new`, `${JSON.stringify({ keys: all }, null, 2)}\n`)
  renameSync(`${path}.new`, path)
}

/** @throws {IDENTITY_KEYS_UNREADABLE} when it is missing, not a key, or open to others. */
export function readSigningKey(dir: string, name: string): SigningKey {
  const path = join(dir, `${name}.key.pem`)
  return read(path, () => {
    assertPrivate(path)
    return ed25519Key(name, readFileSync(path, 'utf8'))
  })
}

/**
 * What the store must not know: refresh tokens are MACs under keys derived from it, token keys are sealed under them. A
 * folder without one gets one, for which processes that start at once agree.
 * @returns 32 bytes each: the one in force, then the one before it if `store.previous.secret` is there.
 * @throws {IDENTITY_KEYS_UNREADABLE} when a file is no secret or open to others, or none can be made.
 */
export function readStoreSecrets(dir: string, random: Random): Buffer[] {
  const [current, previous] = STORE_FILES.map((name) => join(dir, name)) as [string, string]
  if (!existsSync(current)) read(current, () => makeStoreSecret(current, random))
  return [current, previous].filter(existsSync).map((path) =>
    read(path, () => {
      assertPrivate(path)
      const secret = Buffer.from(readFileSync(path, 'utf8').trim(), 'base64')
      if (secret.length !== STORE_SECRET_BYTES)
        throw keyError('IDENTITY_KEYS_UNREADABLE', `${path} does not hold ${STORE_SECRET_BYTES} bytes in base64`)
      return secret
    }),
  )
}

/** @returns the raw root public key, 32 bytes. @throws {IDENTITY_KEYS_UNREADABLE}. */
export function readRootPublicKey(dir: string): Buffer {
  const path = join(dir, ROOT_FILE)
  return read(path, () => {
    const key = Buffer.from(readFileSync(path, 'utf8').trim(), 'base64')
    if (key.length !== 32) throw keyError('IDENTITY_KEYS_UNREADABLE', `${path} does not hold a public key`)
    return key
  })
}

/** @returns the public grants, as they go into the trust bundle. @throws {IDENTITY_KEYS_UNREADABLE}. */
export function readGrants(dir: string): KeyGrant[] {
  const path = join(dir, GRANTS_FILE)
  return read(path, () => {
    const { keys } = grantsFile.parse(JSON.parse(readFileSync(path, 'utf8')))
    return keys.map((key) => ({ ...key, public_key: Buffer.from(key.public_key, 'base64') }))
  })
}

function assertName({ name }: KeyOrder): void {
  if (!NAME.test(name) || name === 'root')
    throw keyError('IDENTITY_KEY_NAME_INVALID', `${name} cannot name a key: use a-z, 0-9 and -`)
}

interface Making {
  readonly now: number
  readonly random: Random
  readonly lifeMs: number
}

/** Makes the key of an order. @returns its grant, as the file has it. */
function granted(dir: string, { name, use, tenants, topics }: KeyOrder, { now, random, lifeMs }: Making) {
  const public_key = makeKey(dir, name, random).toString('base64')
  return {
    key_id: name,
    public_key,
    use,
    tenants: [...tenants],
    topics: [...topics],
    not_before: now,
    not_after: now + lifeMs,
  }
}

function makeKey(dir: string, name: string, random: Random): Buffer {
  const { publicKey, privateKeyPem } = generateEd25519(random)
  const path = join(dir, `${name}.key.pem`)
  writeFileSync(path, privateKeyPem, { mode: 0o600, flag: 'wx' })
  chmodSync(path, 0o600)
  return publicKey
}

// Written whole under another name and then linked: whoever finds the file finds all of it, and the first link wins.
function makeStoreSecret(path: string, random: Random): void {
  const draft = `${path}.${random.bytes(8).toString('hex')}`
  writeFileSync(draft, `${random.bytes(STORE_SECRET_BYTES).toString('base64')}\n`, { mode: 0o600, flag: 'wx' })
  try {
    chmodSync(draft, 0o600)
    linkSync(draft, path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  } finally {
    rmSync(draft)
  }
}

function assertPrivate(path: string): void {
  if (process.platform !== 'win32' && (statSync(path).mode & 0o077) !== 0) {
    throw keyError('IDENTITY_KEYS_UNREADABLE', `${path} is open to other users; chmod 600 it`)
  }
}

function read<T>(path: string, reader: () => T): T {
  try {
    return reader()
  } catch (error) {
    // The cause is dropped: it may quote what was in the file.
    if (error instanceof CountersignError) throw error
    throw keyError(
      'IDENTITY_KEYS_UNREADABLE',
      `${path} cannot be read as a key file; make one with \`identity keys init\``,
    )
  }
}

function keyError<C extends string>(code: C, publicMessage: string): CountersignError<C> {
  return new CountersignError({ code, retriable: false, publicMessage })
}
