import { chmodSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { verifyBundle } from '@countersign/envelope'
import { hours, systemRandom } from '@countersign/kernel'
import { SeededRandom } from '@countersign/kernel/testing'
import type { BundleRecord } from '@countersign/session-store'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { addKey, initKeys, readGrants, readRootPublicKey, readSigningKey, readStoreSecrets } from './key-files.ts'
import { bundleSource } from './log/bundle.ts'
import { passwords } from './people/passwords.ts'

const NOW = 1_800_000_000_000
let dir: string
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'countersign-keys-'))
})
afterEach(() => rmSync(dir, { recursive: true, force: true }))

const init = () => {
  const orders = [{ name: 'api', use: 'envelope', tenants: ['acme'], topics: ['*'] } as const]
  return initKeys({ dir, checkpoints: 2, orders, now: NOW, random: systemRandom })
}

describe('key files', () => {
  it('are made once, private ones for their owner alone', () => {
    expect(init()).toEqual(['root', 'signal', 'checkpoint-1', 'checkpoint-2', 'consumer', 'audit', 'api'])
    for (const file of readdirSync(dir).filter((name) => name.endsWith('.pem'))) {
      expect(statSync(join(dir, file)).mode & 0o777).toBe(0o600)
    }
    expect(readGrants(dir).map(({ key_id, use, tenants }) => `${key_id} ${use} ${tenants}`)).toEqual([
      'signal signal *',
      'checkpoint-1 checkpoint *',
      'checkpoint-2 checkpoint *',
      'consumer progress ',
      'audit audit ',
      'api envelope acme',
    ])
    expect(() => init()).toThrow(expect.objectContaining({ code: 'IDENTITY_KEYS_EXIST' }))
  })

  it('are added one by one, each under a name that was never used', () => {
    init()
    const order = { name: 'api-2', use: 'envelope', tenants: ['acme'], topics: ['*'] } as const
    addKey({ dir, order, now: NOW + 1, random: systemRandom })
    expect(readGrants(dir).at(-1)).toMatchObject({ key_id: 'api-2', use: 'envelope', not_before: NOW + 1 })
    expect(readGrants(dir)).toHaveLength(7)
    expect(readSigningKey(dir, 'api-2').keyId).toBe('api-2')
    for (const name of ['api', 'api-2', 'root', '../x']) {
      expect(() => addKey({ dir, order: { ...order, name }, now: NOW, random: systemRandom })).toThrow()
    }
    expect(readGrants(dir)).toHaveLength(7)
  })

  it('are refused when others may read them, are missing, or have a name that is a path', () => {
    init()
    chmodSync(join(dir, 'signal.key.pem'), 0o640)
    for (const name of ['signal', 'nothing']) {
      expect(() => readSigningKey(dir, name)).toThrow(expect.objectContaining({ code: 'IDENTITY_KEYS_UNREADABLE' }))
    }
    const orders = [{ name: '../x', use: 'envelope', tenants: ['*'], topics: ['*'] } as const]
    const bad = () => initKeys({ dir: join(dir, 'other'), checkpoints: 1, orders, now: NOW, random: systemRandom })
    expect(bad).toThrow(expect.objectContaining({ code: 'IDENTITY_KEY_NAME_INVALID' }))
  })
})

describe('the secret of the store', () => {
  const secretFiles = () => readdirSync(dir).filter((name) => name.startsWith('store'))

  it('is made with the other keys, for its owner alone, and stays', () => {
    init()
    expect(secretFiles()).toEqual(['store.secret'])
    expect(statSync(join(dir, 'store.secret')).mode & 0o777).toBe(0o600)
    const [secret, ...others] = readStoreSecrets(dir, systemRandom)
    expect([secret?.length, others]).toEqual([32, []])
    expect(readStoreSecrets(dir, systemRandom)).toEqual([secret])
  })

  it('is made for a folder that lacks one, once, even when two find it missing together', () => {
    let racing: Buffer[] | null = null
    // The second comes while the first is between looking and writing.
    const random = {
      bytes: (length: number) => {
        if (length === 32) racing ??= readStoreSecrets(dir, systemRandom)
        return systemRandom.bytes(length)
      },
    }
    expect(readStoreSecrets(dir, random)).toEqual(racing)
    expect(secretFiles()).toEqual(['store.secret'])
  })

  it('gives way to another, and is known until it is taken away', () => {
    const [old] = readStoreSecrets(dir, systemRandom)
    renameSync(join(dir, 'store.secret'), join(dir, 'store.previous.secret'))
    const [next, ...before] = readStoreSecrets(dir, systemRandom)
    expect(next).not.toEqual(old)
    expect(before).toEqual([old])
  })

  it('is refused when others may read it, when it is too short, and when none can be made', () => {
    const path = join(dir, 'store.secret')
    const unreadable = expect.objectContaining({ code: 'IDENTITY_KEYS_UNREADABLE' })
    readStoreSecrets(dir, systemRandom)
    chmodSync(path, 0o640)
    expect(() => readStoreSecrets(dir, systemRandom)).toThrow(unreadable)
    chmodSync(path, 0o600)
    writeFileSync(path, Buffer.alloc(31).toString('base64'))
    expect(() => readStoreSecrets(dir, systemRandom)).toThrow(unreadable)
    expect(() => readStoreSecrets(join(dir, 'nowhere'), systemRandom)).toThrow(unreadable)
  })
})

describe('the trust bundle', () => {
  it('is signed by the root, rises, gives the same bytes to who asks again, and makes new keys wait', async () => {
    init()
    let kept: BundleRecord | null = null
    const store = {
      bundle: async () => kept,
      putBundle: async (record: BundleRecord) => {
        kept = record
        return record
      },
    }
    let grants = readGrants(dir)
    const terms = { windowMs: hours(1), maxStalenessMs: 5000, checkpointIntervalMs: 1000 }
    const source = bundleSource({ store, rootKey: readSigningKey(dir, 'root'), grants: () => grants, terms })
    const ask = (after: number, now: number) => source.next({ logId: 'log', predecessor: null, after, now })
    const open = ({ body, signature }: BundleRecord, now: number) => {
      const result = verifyBundle(body, signature, [readRootPublicKey(dir)], { now })
      if (!result.ok) throw new Error(result.code)
      return result.bundle
    }
    const first = await ask(0, NOW)
    expect(open(first, NOW)).toMatchObject({ version: 1, log_id: 'log', window_ms: hours(1) })
    expect(open(first, NOW).keys.every((key) => key.not_before === NOW)).toBe(true)
    expect(await ask(0, NOW + 1000)).toBe(first)
    grants = [
      ...grants,
      { ...(grants[0] as (typeof grants)[0]), key_id: 'late', public_key: new SeededRandom(1).bytes(32) },
    ]
    const second = open(await ask(1, NOW + 1000), NOW + 1000)
    expect([second.version, second.keys.at(-1)?.not_before]).toEqual([2, NOW + 6000])
    const third = open(await ask(2, NOW + 2 * hours(1)), NOW + 2 * hours(1))
    expect([third.version, third.keys.at(-1)?.not_before, third.keys[0]?.not_before]).toEqual([3, NOW + 6000, NOW])
    // The name of a key says nothing of how long its bytes are known.
    grants = [
      ...grants.slice(0, -1),
      { ...(grants.at(-1) as (typeof grants)[0]), public_key: new SeededRandom(2).bytes(32) },
    ]
    const fourth = open(await ask(3, NOW + 3 * hours(1)), NOW + 3 * hours(1))
    expect(fourth.keys.at(-1)?.not_before).toBe(NOW + 3 * hours(1) + 5000)
    expect(readFileSync(join(dir, 'keys.json'), 'utf8')).not.toContain('PRIVATE')
  })
})

describe('passwords', () => {
  it('match in one Unicode form, by their own parameters, and never for nobody', async () => {
    const old = passwords({ random: systemRandom, cost: 10 })
    const hash = await old.hash('ﬁancé 1')
    const now = passwords({ random: systemRandom, cost: 11 })
    expect(await now.verify('fiance\u0301 1', hash)).toBe(true)
    expect(await now.verify('fiance 1', hash)).toBe(false)
    expect(await now.verify('', null)).toBe(false)
    const many = Array.from({ length: 8 }, () => now.verify('x', hash))
    expect(now.load).toBe(8)
    expect(await Promise.all(many)).toEqual(Array(8).fill(false))
    expect(now.load).toBe(0)
  })
})
