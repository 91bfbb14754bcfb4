import { minutes, seconds, systemRandom } from '@countersign/kernel'
import { FakeClock } from '@countersign/kernel/testing'
import type { TokenKey } from '@countersign/session-store'
import { createVerifier, type SigningAlgorithm } from '@countersign/tokens'
import fc from 'fast-check'
import { beforeEach, describe, expect, it } from 'vitest'
import { KeySeal } from './key-seal.ts'
import { TokenKeys, type TokenKeysOptions, type TokenKeyTimes } from './token-keys.ts'

const SECRET = systemRandom.bytes(32)
const TIMES: TokenKeyTimes = {
  everyMs: minutes(60),
  publishMs: minutes(20),
  retireMs: minutes(10),
  reloadMs: minutes(1),
}

/** The token keys of a store, oldest first; away when told to be. */
class Keys {
  records: TokenKey[] = []
  reads = 0
  away = false

  async tokenKeys(): Promise<readonly TokenKey[]> {
    this.reads++
    if (this.away) throw new Error('away')
    return [...this.records]
  }

  async addTokenKey(key: TokenKey, after: string | null): Promise<readonly TokenKey[]> {
    if (this.away) throw new Error('away')
    if ((this.records.at(-1)?.kid ?? null) === after) this.records.push(key)
    return [...this.records]
  }

  async dropTokenKeys(kids: readonly string[]): Promise<void> {
    this.records = this.records.filter(({ kid }) => !kids.includes(kid))
  }
}

let store: Keys
let clock: FakeClock
let lines: string[]
beforeEach(() => {
  store = new Keys()
  clock = new FakeClock()
  lines = []
})

function instance(more: Partial<TokenKeysOptions> = {}): TokenKeys {
  const note = (detail: unknown, message: unknown): void => void lines.push(`${message} ${JSON.stringify(detail)}`)
  const logger = { info: note, error: note } as unknown as TokenKeysOptions['logger']
  return new TokenKeys({
    store,
    secrets: [SECRET],
    alg: 'ES256',
    clock,
    random: systemRandom,
    logger,
    times: TIMES,
    ...more,
  })
}

async function opened(more: Partial<TokenKeysOptions> = {}): Promise<TokenKeys> {
  const keys = instance(more)
  await keys.open()
  return keys
}

/** Lets time pass as a service does: looking after its keys all the while. */
async function pass(ms: number, ...instances: TokenKeys[]): Promise<void> {
  for (let past = 0; past < ms; past += TIMES.reloadMs) {
    await clock.advance(Math.min(TIMES.reloadMs, ms - past))
    for (const keys of instances) await keys.tend()
  }
}

const published = (keys: TokenKeys): string[] => keys.document().keys.map((key) => (key as { kid: string }).kid)
const signing = (keys: TokenKeys): string => keys.signer('at+jwt').kid

describe('token keys', () => {
  it.each(['ES256', 'EdDSA', 'RS256'] as const)(
    '%s: the first is there at once, published and signing',
    async (alg) => {
      const keys = await opened({ alg })
      expect(published(keys)).toEqual([signing(keys)])
      expect(keys.signer('at+jwt').alg).toBe(alg)
      expect(keys.document().keys[0]).toMatchObject({ alg, use: 'sig' })
      expect(keys.signer('at+jwt')).toBe(keys.signer('at+jwt'))
      expect(keys.document()).toBe(keys.document())
    },
  )

  it('a new one is published before it signs, the old one until no token of it lives', async () => {
    const keys = await opened()
    const old = signing(keys)
    await pass(TIMES.everyMs, keys)
    const [, next] = published(keys)
    expect(published(keys)).toEqual([old, next])
    expect(signing(keys)).toBe(old)
    await pass(TIMES.publishMs - 1, keys)
    expect(signing(keys)).toBe(old)
    await clock.advance(1)
    expect(signing(keys)).toBe(next)
    await pass(TIMES.retireMs + TIMES.publishMs, keys)
    expect(published(keys)).toEqual([old, next])
    await pass(TIMES.reloadMs, keys)
    expect(published(keys)).toEqual([next])
    expect(store.records.map(({ kid }) => kid)).toEqual([next])
  })

  it('instances that start or rotate at once agree on one key', async () => {
    const all = await Promise.all(Array.from({ length: 5 }, () => opened()))
    expect(store.records).toHaveLength(1)
    expect(new Set(all.map(signing)).size).toBe(1)
    await Promise.all(all.map((keys) => keys.rotate()))
    expect(store.records).toHaveLength(2)
    expect(new Set(all.map((keys) => published(keys).join())).size).toBe(1)
    await pass(TIMES.publishMs + TIMES.reloadMs, ...all)
    expect(new Set(all.map(signing))).toEqual(new Set([store.records[1]?.kid]))
  })

  it('tokens of a key another instance made verify before it signs here', async () => {
    const [a, b] = [await opened(), await opened()]
    await a.rotate()
    await pass(TIMES.reloadMs, b)
    expect(published(b)).toEqual(published(a))
  })

  it('unknown ids cause at most one question a second, and the store may be away', async () => {
    const keys = await opened()
    await clock.advance(seconds(1))
    const before = store.reads
    const looked = await Promise.all(Array.from({ length: 1000 }, () => keys.learn()))
    expect(store.reads - before).toBe(1)
    expect(looked).toContain(true)
    for (let i = 0; i < 1000; i++) expect(await keys.learn()).toBe(false)
    expect(store.reads - before).toBe(1)
    store.away = true
    await clock.advance(seconds(1))
    expect(await keys.learn()).toBe(false)
    store.away = false
    await clock.advance(seconds(1))
    expect(await keys.learn()).toBe(true)
  })

  it('a store that is away stops nothing until keys could have been retired', async () => {
    const keys = await opened()
    store.away = true
    await clock.advance(TIMES.publishMs)
    await expect(keys.tend()).rejects.toThrow('away')
    expect(signing(keys)).toBe(published(keys)[0])
    await clock.advance(1)
    expect(() => keys.signer('at+jwt')).toThrow(
      expect.objectContaining({ code: 'IDENTITY_TOKEN_KEYS_STALE', retriable: true }),
    )
    expect(published(keys)).toHaveLength(1)
    store.away = false
    await clock.advance(TIMES.reloadMs)
    await keys.tend()
    expect(signing(keys)).toBe(published(keys)[0])
  })

  it('before they were read nothing signs', () => {
    expect(() => instance().signer('at+jwt')).toThrow(expect.objectContaining({ code: 'IDENTITY_TOKEN_KEYS_STALE' }))
  })

  it('another algorithm is taken up with a key of its own, once', async () => {
    await opened()
    const keys = await opened({ alg: 'EdDSA' })
    await pass(TIMES.publishMs + TIMES.reloadMs * 2, keys)
    expect(store.records.map(({ alg }) => alg)).toEqual(['ES256', 'EdDSA'])
    expect(keys.signer('at+jwt').alg).toBe('EdDSA')
  })

  it('an answer that was asked for earlier does not replace a later one', async () => {
    const keys = await opened()
    let release = (): void => {}
    const released = new Promise<void>((resolve) => {
      release = resolve
    })
    const read = store.tokenKeys.bind(store)
    store.tokenKeys = async () => {
      const records = await read()
      await released
      return records
    }
    await clock.advance(seconds(1))
    const learning = keys.learn()
    const rotating = keys.rotate()
    // The key is long made by then, if nothing held it back.
    setTimeout(release, 20)
    await Promise.all([learning, rotating])
    expect(published(keys)).toHaveLength(2)
  })
})

describe('the wall clock', () => {
  const hour = 3_600_000

  it.each([hour, -hour])('a step of %d ms lets no key sign early and takes none away', async (step) => {
    const keys = await opened()
    const old = signing(keys)
    await keys.rotate()
    clock.step(step)
    await pass(TIMES.publishMs - 1, keys)
    expect(signing(keys)).toBe(old)
    await clock.advance(1)
    expect(signing(keys)).toBe(published(keys)[1])
    clock.step(step)
    await pass(TIMES.retireMs, keys)
    expect(published(keys)).toContain(old)
    clock.step(-step)
    expect(signing(keys)).not.toBe(old)
  })

  it('of the instance that made a key makes no other use it early', async () => {
    const keys = await opened()
    clock.step(-hour)
    const wrong = await opened()
    await wrong.rotate()
    clock.step(hour)
    await pass(TIMES.reloadMs, keys)
    expect(published(keys)).toHaveLength(2)
    expect(signing(keys)).toBe(published(keys)[0])
    await pass(TIMES.publishMs, keys)
    expect(signing(keys)).toBe(published(keys)[1])
  })
})

describe('what the store holds', () => {
  it('is sealed: neither the secret nor a private half is in it, nor in a log line', async () => {
    for (const alg of ['ES256', 'EdDSA', 'RS256'] satisfies SigningAlgorithm[]) {
      store = new Keys()
      await opened({ alg })
      const [record] = store.records
      const pair = await new KeySeal({ secrets: [SECRET], random: systemRandom }).open(record as TokenKey)
      const d = pair?.privateJwk.d as string
      const kept = JSON.stringify(record) + record?.sealedPrivate.toString('latin1') + lines.join()
      expect(kept).not.toContain(d)
      expect(kept).not.toContain('"d"')
      expect(record?.publicJwk).not.toContain(d)
    }
  })

  it('cannot make us publish or use a key that we did not make', async () => {
    const keys = await opened()
    const [own] = store.records as [TokenKey]
    const foreign = new Keys()
    await opened({ store: foreign, secrets: [systemRandom.bytes(32)] })
    const [theirs] = foreign.records as [TokenKey]
    const planted = [
      theirs,
      { ...theirs, sealedPrivate: own.sealedPrivate },
      { ...own, kid: theirs.kid },
      { ...own, kid: 'other', publicJwk: theirs.publicJwk },
      { ...own, kid: 'other', alg: 'RS256' },
      { ...own, kid: 'other', alg: 'HS256' },
      { ...own, kid: 'other', sealedPrivate: Buffer.alloc(0) },
      { ...own, kid: 'other', sealedPrivate: own.sealedPrivate.subarray(0, 27) },
    ]
    store.records = [own, ...planted.map((key, i) => ({ ...key, createdAt: own.createdAt + i + 1 }))]
    await pass(TIMES.reloadMs, keys)
    expect(published(keys)).toEqual([own.kid])
    expect(published(await opened())).toEqual([own.kid])
    // Its own public half, which stands beside the sealed one in the clear, is not believed either.
    store.records = [{ ...own, publicJwk: theirs.publicJwk }]
    const again = await opened()
    expect(again.document()).toEqual(keys.document())
    expect(JSON.stringify(again.document())).not.toContain(JSON.parse(theirs.publicJwk).x)
    expect(lines.join()).toContain('not sealed by us')
  })

  it('with any bit of a sealed key flipped opens to nothing', async () => {
    await opened()
    const [own] = store.records as [TokenKey]
    const seal = new KeySeal({ secrets: [SECRET], random: systemRandom })
    const seed = 20_261_121
    await fc.assert(
      fc.asyncProperty(fc.nat({ max: own.sealedPrivate.length * 8 - 1 }), async (bit) => {
        const sealedPrivate = Buffer.from(own.sealedPrivate)
        sealedPrivate[bit >> 3] = (sealedPrivate[bit >> 3] as number) ^ (1 << (bit & 7))
        expect(await seal.open({ ...own, sealedPrivate })).toBe(null)
      }),
      { seed, numRuns: 300 },
    )
    for (let length = 0; length < own.sealedPrivate.length; length++)
      expect(await seal.open({ ...own, sealedPrivate: own.sealedPrivate.subarray(0, length) })).toBe(null)
    expect(await seal.open(own)).not.toBe(null)
  })

  it('is opened with the secret before, and sealed with the one in force', async () => {
    const old = await opened()
    const next = systemRandom.bytes(32)
    const keys = await opened({ secrets: [next, SECRET] })
    expect(published(keys)).toEqual(published(old))
    await keys.rotate()
    expect(published(await opened({ secrets: [next] }))).toEqual([published(keys)[1]])
    // Whoever lacks the secret of every key there makes one of its own, after them.
    const lost = await opened({ secrets: [systemRandom.bytes(32)] })
    expect(published(lost)).toHaveLength(1)
    expect(store.records).toHaveLength(3)
  })
})

it('what it signs is verified from the document alone, and from memory', async () => {
  const keys = await opened()
  const at = Math.floor(clock.now() / 1000)
  const token = keys.signer('at+jwt').sign({ iss: 'https://id.example', sub: 's', aud: 'api', iat: at, exp: at + 300 })
  const rules = {
    issuer: 'https://id.example',
    audience: 'api',
    algorithms: ['ES256'],
    typ: 'at+jwt',
    maxAgeS: 300,
    clock,
  } as const
  expect(await createVerifier({ ...rules, keys: keys.document() }).verify(token)).toMatchObject({ ok: true })
})
