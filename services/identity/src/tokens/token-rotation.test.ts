/** Keys rotate every few hundred milliseconds while two instances sign and readers of the published set verify. */
import { minutes, seconds, systemRandom } from '@countersign/kernel'
import { FakeClock, SeededRandom } from '@countersign/kernel/testing'
import type { TokenKey } from '@countersign/session-store'
import { createVerifier, remoteKeys, type Verifier } from '@countersign/tokens'
import { expect, it } from 'vitest'
import type { Grant } from './access-claims.ts'
import { AccessTokens } from './access-tokens.ts'
import { TokenKeys, type TokenKeyTimes } from './token-keys.ts'

const ISSUER = 'https://id.example'
const SEED = 20_261_121
const READER = { cooldownMs: 160, maxAgeMs: 160 }
const RELOAD = 40
const LIFE = seconds(2)

interface Load {
  issued: number
  verified: number
  denied: string[]
  signedBy: Set<string>
  mostPublished: number
}

async function load(publishMs: number, retireMs: number, steps: number): Promise<Load> {
  const clock = new FakeClock()
  const random = new SeededRandom(SEED)
  const secrets = [systemRandom.bytes(32)]
  let records: TokenKey[] = []
  const store = {
    tokenKeys: async () => [...records],
    addTokenKey: async (key: TokenKey, after: string | null) => {
      if ((records.at(-1)?.kid ?? null) === after) records.push(key)
      return [...records]
    },
    dropTokenKeys: async (kids: readonly string[]) => {
      records = records.filter(({ kid }) => !kids.includes(kid))
    },
    putToken: async () => {},
    resolveToken: async () => null,
    resolveTargets: async () => ({ roles: [], scopeVersion: 0 }),
  }
  const times: TokenKeyTimes = { everyMs: 300, publishMs, retireMs, reloadMs: RELOAD }
  const logger = { info: () => {}, error: () => {} } as never
  const instances = await Promise.all(
    [0, 1].map(async () => {
      const keys = new TokenKeys({ store, secrets, alg: 'EdDSA', clock, random: systemRandom, logger, times })
      await keys.open()
      return { keys, tokens: new AccessTokens({ store, keys, issuer: ISSUER, clock, random, jwtLifeMs: LIFE }) }
    }),
  )
  // Readers ask any instance, and keep what they got, each for itself.
  let turn = 0
  const get = (async () => {
    const { keys } = instances[turn++ % 2] as (typeof instances)[number]
    return new Response(JSON.stringify(keys.document()))
  }) as typeof fetch
  const readers: Verifier[] = [0, 1, 2].map(() =>
    createVerifier({
      issuer: ISSUER,
      audience: 'api',
      algorithms: ['EdDSA'],
      typ: 'at+jwt',
      maxAgeS: LIFE / 1000,
      skewS: 0,
      keys: remoteKeys({ url: 'https://id.example/jwks.json', clock, fetch: get, ...READER }),
      clock,
    }),
  )
  const grant: Grant = {
    session: null,
    kind: null,
    principal: 'service',
    sub: 's',
    tenant: 'acme',
    client: 'app',
    device: null,
    act: [],
    audience: ['api'],
    scopes: ['a'],
    authTime: null,
    amr: [],
    acr: null,
    targets: [{ kind: 'tenant', tenant: 'acme', id: '', version: 1 }],
    scopeVersion: 1,
    notAfter: null,
  }
  const result: Load = { issued: 0, verified: 0, denied: [], signedBy: new Set(), mostPublished: 0 }
  const living: { text: string; until: number }[] = []
  for (let step = 0; step < steps; step++) {
    // Instances look after their keys each at its own pace.
    for (const { keys } of instances) if ((random.bytes(1)[0] as number) % 3) await keys.tend()
    for (const { keys, tokens } of instances) {
      const issued = await tokens.issue(grant, 'jwt')
      if (!issued) throw new Error('nothing was issued')
      result.issued++
      result.signedBy.add(keys.signer('at+jwt').kid)
      result.mostPublished = Math.max(result.mostPublished, keys.document().keys.length)
      // Whole seconds in the token: it lives until the second in which it ends begins.
      living.push({ text: issued.text, until: Math.floor(issued.token.expiresAt / 1000) * 1000 })
    }
    while (living[0] && living[0].until <= clock.now()) living.shift()
    // The newest, and any that lives still: by every reader, and by both instances from memory.
    const chosen = [...living.slice(-2), living[(random.bytes(2).readUInt16BE() * living.length) >> 16]]
    for (const token of chosen) {
      if (!token) continue
      const verdicts = await Promise.all(readers.map((reader) => reader.verify(token.text)))
      const reads = await Promise.all(instances.map(({ tokens }) => tokens.read(token.text)))
      result.verified += verdicts.length + reads.length
      for (const verdict of verdicts) if (!verdict.ok) result.denied.push(verdict.code)
      for (const read of reads) if (read.kind === 'refused') result.denied.push(`own ${read.code}`)
    }
    await clock.advance(10)
  }
  return result
}

it(
  'no token that lives is denied while keys rotate',
  async () => {
    // Longer than an instance and a reader go without looking, together.
    const { denied, issued, verified, signedBy, mostPublished } = await load(3 * RELOAD + READER.maxAgeMs, LIFE, 1500)
    console.info({ seed: SEED, issued, verified, keys: signedBy.size, mostPublished })
    expect(denied).toEqual([])
    expect(signedBy.size).toBeGreaterThan(30)
    expect(mostPublished).toBeLessThan(20)
  },
  minutes(1),
)

it(
  'it is publishing first that does it, and dropping late: without either, tokens are denied',
  async () => {
    const hasty = await load(2 * RELOAD, LIFE, 300)
    expect(hasty.denied).toContain('token_key_unknown')
    const forgetful = await load(3 * RELOAD + READER.maxAgeMs, -3 * RELOAD - READER.maxAgeMs, 300)
    expect(forgetful.denied).toContain('token_key_unknown')
  },
  minutes(1),
)
