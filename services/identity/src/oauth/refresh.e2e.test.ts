import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Client, until, World } from '../testing.ts'
import { OAuthWorld, type Party } from './testing.ts'

let world: World
let identity: Client
let oauth: OAuthWorld
beforeAll(async () => {
  world = new World()
  identity = await world.start({ COUNTERSIGN_ISSUER: 'https://id.example.test' })
  oauth = await OAuthWorld.at(identity)
})
afterAll(() => world.destroy())

const bySignal = async (cause: string): Promise<string[]> =>
  (await world.signals()).filter(({ signal }) => signal.cause === cause).map(({ signal }) => signal.target.id)
const familyOf = (token: string): string => /^rt_(.*)\.\d+\./.exec(token)?.[1] ?? ''
const metric = async (result: string): Promise<number> => {
  const line = new RegExp(`^countersign_refreshes_total\\{result="${result}"\\} (\\d+)$`, 'm')
  return Number(line.exec((await identity.get('/metrics')).text)?.[1] ?? 0)
}

describe.each(['web', 'spa'] as const)('refreshing as %s', (name) => {
  const party = (): Party => oauth[name]

  it('gives the next generation each time, and every retry within the grace the same one', async () => {
    const { refresh_token: first } = await oauth.tokens('bob', party())
    const second = (await oauth.refresh(first, party())).json.refresh_token
    const retries = await Promise.all(Array.from({ length: 20 }, () => oauth.refresh(first, party())))
    expect(retries.map(({ json }) => json.refresh_token)).toEqual(Array(20).fill(second))
    const third = await oauth.refresh(second, party())
    expect(third.json.refresh_token).toMatch(/\.3\./)
    expect((await oauth.introspect(third.json.access_token)).json.active).toBe(true)
  })

  it('gives twenty at once one successor', async () => {
    const { refresh_token } = await oauth.tokens('bob', party())
    const answers = await Promise.all(Array.from({ length: 20 }, () => oauth.refresh(refresh_token, party())))
    expect(new Set(answers.map(({ status, json }) => `${status} ${json.refresh_token}`))).toHaveLength(1)
  })

  it('narrows what it asks for and never widens', async () => {
    const { refresh_token } = await oauth.tokens('bob', party())
    const wide = await oauth.refresh(refresh_token, party(), { scope: 'invoices:read reports:read' })
    expect([wide.status, wide.json.error]).toEqual([400, 'invalid_scope'])
    const narrow = await oauth.refresh(refresh_token, party(), { scope: 'invoices:read' })
    expect(narrow.json.scope).toBe('invoices:read')
    // The family keeps what it was given.
    expect((await oauth.refresh(narrow.json.refresh_token, party())).json.scope).toBe('invoices:export invoices:read')
  })
})

it('CVE-2026-27840: takes no part of a token, no changed one and no other spelling', async () => {
  const { refresh_token, access_token } = await oauth.tokens('bob')
  const opaque = (await oauth.tokens('bob', oauth.spa)).access_token
  const wrong = [refresh_token, access_token, opaque].flatMap((token) => [
    ...Array.from({ length: token.length - 1 }, (_, at) => token.slice(0, at + 1)),
    `${token}=`,
    `${token}A`,
    // Another signature or secret, of the right form.
    token.slice(0, -12) + [...token.slice(-12, -1)].reverse().join('') + token.slice(-1),
    ` ${token}`,
  ])
  const told = await Promise.all(wrong.map((text) => oauth.introspect(text, oauth.web)))
  expect(told.filter(({ json }) => json.active)).toEqual([])
  expect((await oauth.refresh(refresh_token.slice(0, -1))).json.error).toBe('invalid_grant')
  const forged =
    refresh_token.slice(0, -12) + [...refresh_token.slice(-12, -1)].reverse().join('') + refresh_token.slice(-1)
  for (const text of [forged, refresh_token.replace('.1.', '.2.')])
    expect((await oauth.refresh(text)).json.error).toBe('invalid_grant')
  expect((await oauth.refresh(access_token)).json.error).toBe('invalid_grant')
  expect((await oauth.refresh(refresh_token)).status).toBe(200)
})

it('gives another client nothing, and takes nothing for it', async () => {
  const { refresh_token } = await oauth.tokens('bob')
  expect((await oauth.refresh(refresh_token, oauth.spa)).json.error).toBe('invalid_grant')
  expect((await oauth.refresh(refresh_token)).status).toBe(200)
})

it('ends the family of a token that comes back after its grace, once, with alarm', async () => {
  const { refresh_token: first, access_token } = await oauth.tokens('bob')
  const second = (await oauth.refresh(first)).json.refresh_token
  const third = (await oauth.refresh(second)).json.refresh_token
  // Let it be noted that the answers have left.
  await pause(200)
  world.clock.offset += 11_000
  await until(async () => (await oauth.refresh(first)).status === 400)
  expect((await oauth.refresh(third)).json.error).toBe('invalid_grant')
  expect((await oauth.introspect(access_token)).json).toEqual({ active: false })
  expect(await bySignal('token_reuse')).toEqual([familyOf(first)])
  expect(await metric('reused')).toBe(1)
  expect(world.lines.some((line) => line.includes('"action":"reuse"') && line.includes(familyOf(first)))).toBe(true)
})

it('CVE-2023-22492, CVE-2025-64521: a locked person refreshes nothing, and a new grant is needed afterwards', async () => {
  const { name, sub } = await identity.person()
  const { refresh_token, access_token } = await oauth.tokens(name, oauth.web, { scope: 'invoices:read offline_access' })
  const opaque = await oauth.tokens(name, oauth.spa)
  await identity.operate('POST', `/v1/subjects/${sub}/suspend`)
  for (const undone of [false, true]) {
    if (undone) await identity.operate('POST', `/v1/subjects/${sub}/unsuspend`)
    expect((await oauth.refresh(refresh_token)).json.error).toBe('invalid_grant')
    expect((await oauth.introspect(access_token)).json).toEqual({ active: false })
    expect((await oauth.introspect(opaque.access_token)).json).toEqual({ active: false })
  }
})

it('gives what the roles grant now', async () => {
  const { name, sub } = await identity.person()
  const { refresh_token, access_token } = await oauth.tokens(name)
  await identity.operate('PUT', `/v1/affiliations/acme/${sub}/roles`, { roles: ['viewer'] })
  expect((await oauth.introspect(access_token)).json.scope).toBe('invoices:read')
  expect((await oauth.refresh(refresh_token)).json.scope).toBe('invoices:read')
})

it('keeps the browser session it was begun from in use', async () => {
  const { name, sub } = await identity.person()
  let { refresh_token } = await oauth.tokens(name)
  const idle = async (): Promise<number> => {
    const { json } = await identity.operate('GET', `/v1/subjects/${sub}/sessions`)
    return json.sessions.find(({ kind }: { kind: string }) => kind === 'browser').idleExpiresAt
  }
  const before = await idle()
  world.clock.offset += 120_000
  await until(async () => {
    refresh_token = (await oauth.refresh(refresh_token)).json.refresh_token
    return (await idle()) > before
  })
})
