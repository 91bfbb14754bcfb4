import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { answerOf, OAuthWorld } from '../oauth/testing.ts'
import { type Client, PASSWORD, World } from '../testing.ts'
import { enrolApp, STEP_MS } from './testing.ts'
import { codeOf } from './totp.ts'

const SEEDED = 'JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP'

let world: World
let client: Client
let oauth: OAuthWorld

beforeAll(async () => {
  world = new World()
  client = await world.start()
  oauth = await OAuthWorld.at(client)
})
afterAll(() => world.destroy())

const code = (secret: string, steps = 0) => codeOf(secret, world.clock.now() + steps * STEP_MS)

async function enrolled(roles?: readonly string[]) {
  const { name, sub } = await client.person(roles)
  const browser = client.browser()
  await browser.login(name)
  const { secret, codes, handles } = await enrolApp(browser, world.clock)
  return { name, sub, browser, secret, codes, factor: handles[0] }
}

const handles = async (browser: Client) =>
  ((await browser.get('/v1/factors')).json.factors as { kind: string; factor: string }[]).map(({ kind }) => kind).sort()
const strength = async (browser: Client) => {
  const { json } = await browser.get('/session')
  return [json.acr, json.amr]
}
const MFA = ['mfa', ['pwd', 'otp', 'mfa']]

describe('adding a factor', () => {
  it('takes a code to confirm it, and shows recovery codes once', async () => {
    const { name } = await client.person()
    const browser = client.browser()
    await browser.login(name)
    expect((await browser.post('/v1/factors/totp/confirm', { code: '000000' })).json.code).toBe('enrolment_unknown')
    const { status, json } = await browser.post('/v1/factors/totp', { name: 'Phone' })
    expect([status, json.secret.length]).toEqual([201, 32])
    expect(json.uri).toMatch(/^otpauth:\/\/totp\/.*issuer=.*&secret=/)
    expect(await handles(browser)).toEqual([])
    const wrong = await browser.post('/v1/factors/totp/confirm', { code: code(json.secret, 9) })
    expect([wrong.status, wrong.json.code]).toEqual([401, 'step_up_failed'])
    const added = await browser.post('/v1/factors/totp/confirm', { code: code(json.secret) })
    expect([added.status, added.json.kind, added.json.name]).toEqual([201, 'totp', 'Phone'])
    expect(new Set(added.json.recoveryCodes)).toHaveProperty('size', 10)
    expect(await handles(browser)).toEqual(['recovery', 'totp'])
    const shown = (await browser.get('/v1/factors')).text
    for (const secret of [json.secret, ...added.json.recoveryCodes]) expect(shown).not.toContain(secret)
  })

  it('takes somebody who has just shown themselves, by a factor if they have one, and no program or actor', async () => {
    const { browser, name } = await enrolled()
    const refused = await browser.post('/v1/factors/recovery-codes')
    expect([refused.status, refused.json.code]).toEqual([401, 'step_up_required'])
    // With a password alone nobody adds one of their own, nor takes that which is there.
    const other = client.browser()
    await other.login(name)
    for (const [method, path] of [
      ['POST', '/v1/factors/totp'],
      ['DELETE', `/v1/factors/fac_x`],
    ] as const)
      expect((await other.send(method, path, {})).json.code).toBe('step_up_required')
    const fresh = client.browser()
    await fresh.login((await client.person()).name)
    const { bearer } = (await fresh.post('/v1/api-sessions', { name: 'cron' })).json
    const asProgram = { authorization: `Bearer ${bearer}` }
    expect((await client.browser().post('/v1/factors/totp', {}, asProgram)).json.code).toBe('not_permitted')
    expect((await client.browser().post('/step-up', { code: '1' }, asProgram)).json.code).toBe('not_permitted')
  })

  it('has one app per person', async () => {
    const { browser, secret } = await enrolled()
    await browser.post('/step-up', { code: code(secret) })
    expect((await browser.post('/v1/factors/totp')).json.code).toBe('factor_exists')
  })
})

describe('stepping up', () => {
  it('goes on under a new id and cookie, as strong as what was shown; the old one has ended', async () => {
    const { browser, secret, sub } = await enrolled()
    expect(await strength(browser)).toEqual(['pwd', ['pwd']])
    const before = (await browser.get('/session')).json
    const old = browser.cookie
    const answer = await browser.post('/step-up', { code: code(secret) })
    expect([answer.status, answer.json.acr, answer.json.amr, answer.json.sub]).toEqual([200, ...MFA, sub])
    expect(browser.cookie).not.toBe(old)
    const after = (await browser.get('/session')).json
    expect(after.session).not.toBe(before.session)
    expect(after.authTime).toBeGreaterThan(before.authTime)
    // It may not be made to last by codes alone.
    expect(after.expiresAt).toBe(before.expiresAt)
    const replaced = client.browser()
    replaced.cookie = old
    expect((await replaced.get('/session')).status).toBe(401)
    const resolved = await browser.resolve()
    expect([resolved.json.acr, resolved.json.amr]).toEqual(MFA)
    expect(resolved.json.targets.map(({ kind }: { kind: string }) => kind)).toContain('device')
  })

  it('takes a code once, and none of before', async () => {
    const { browser, secret } = await enrolled()
    expect((await browser.post('/step-up', { code: code(secret) })).status).toBe(200)
    for (const steps of [0, -1]) {
      const again = await browser.post('/step-up', { code: code(secret, steps) })
      expect([again.status, again.json.code]).toEqual([401, 'factor_used'])
    }
    expect((await browser.post('/step-up', { code: code(secret, 1) })).status).toBe(200)
  })

  it('takes a recovery code once, however it is typed', async () => {
    const { browser, codes } = await enrolled()
    const [first = '', second = ''] = codes
    expect((await browser.post('/step-up', { code: ` ${first.toUpperCase()} ` })).json.acr).toBe('mfa')
    expect((await browser.post('/step-up', { code: first })).json.code).toBe('step_up_failed')
    expect((await browser.post('/step-up', { code: second.replaceAll('-', '') })).status).toBe(200)
    expect((await browser.get('/v1/factors')).json.factors.find((one: { left?: number }) => one.left)?.left).toBe(8)
    const renewed = await browser.post('/v1/factors/recovery-codes')
    expect(renewed.json.recoveryCodes).toHaveLength(10)
    expect((await browser.post('/step-up', { code: codes[2] })).json.code).toBe('step_up_failed')
    expect((await browser.post('/step-up', { code: renewed.json.recoveryCodes[0] })).status).toBe(200)
  })

  it('slows guesses, and no login with the password starts them anew', async () => {
    const { browser, name, secret } = await enrolled()
    const wrong = (code(secret)[0] === '9' ? '0' : '9') + code(secret).slice(1)
    const seen: string[] = []
    for (let i = 0; i < 6; i++) {
      seen.push((await browser.post('/step-up', { code: wrong })).json.code)
      await browser.login(name)
    }
    expect(seen).toEqual([...Array(5).fill('step_up_failed'), 'login_slowed'])
    const right = await browser.post('/step-up', { code: code(secret) })
    expect([right.status, right.json.code]).toEqual([429, 'login_slowed'])
    expect(Number(right.headers.get('retry-after'))).toBeGreaterThan(0)
  })

  it('says the same to who has no factor as of a wrong code', async () => {
    const browser = client.browser()
    await browser.login((await client.person()).name)
    expect((await browser.post('/step-up', { code: '000000' })).json.code).toBe('step_up_failed')
  })

  it('is as weak as the password alone once that alone was shown again', async () => {
    const { browser, secret } = await enrolled()
    await browser.post('/step-up', { code: code(secret) })
    expect((await browser.post('/reauthenticate', { password: PASSWORD })).json.acr).toBe('pwd')
    expect(await strength(browser)).toEqual(['pwd', ['pwd']])
  })

  it('works as a form without script, goes on to pages of ours alone, and takes nothing from other sites', async () => {
    const { browser, secret } = await enrolled()
    const page = await browser.get('/step-up?continue=/sessions')
    expect([page.status, page.text.includes('name="continue" value="/sessions"')]).toEqual([200, true])
    expect(page.text).not.toContain('<script')
    expect(page.headers.get('content-security-policy')).toContain("default-src 'none'")
    const wrong = await browser.post('/step-up', 'code=1&continue=%2Fsessions')
    expect([wrong.status, wrong.text.includes('role="alert"')]).toEqual([401, true])
    expect(wrong.text).toContain('value="/sessions"')
    const form = `code=${code(secret)}&continue=`
    const crossed = await browser.post('/step-up', form, { origin: 'https://evil.example' })
    expect(crossed.json.code).toBe('cross_site')
    const done = await browser.post('/step-up', `${form}%2F%2Fevil.example`)
    expect([done.status, done.headers.get('location')]).toEqual([303, '/session'])
    const again = await browser.post('/step-up', `code=${code(secret, 1)}&continue=%2Fsessions`)
    expect(again.headers.get('location')).toBe('/sessions')
    expect((await client.browser().get('/step-up')).headers.get('location')).toBe('/login?continue=/step-up')
  })
})

describe('losing a factor', () => {
  it('ends what was begun with it, by whatever client, and leaves the rest', async () => {
    const { browser, secret, name, factor } = await enrolled()
    const other = client.browser()
    await other.login(name)
    await browser.post('/step-up', { code: code(secret) })
    const scope = 'invoices:read offline_access'
    const made = await oauth.exchange(oauth.web, await oauth.authorize(browser, oauth.web, { scope }))
    expect((await oauth.introspect(made.json.access_token)).json).toMatchObject({ active: true, acr: 'mfa' })
    expect((await browser.send('DELETE', `/v1/factors/${factor}`, {})).json.state).toBe('acknowledged')
    expect((await browser.get('/session')).status).toBe(401)
    expect((await oauth.refresh(made.json.refresh_token)).status).toBe(400)
    expect((await oauth.introspect(made.json.access_token)).json).toEqual({ active: false })
    expect((await other.get('/session')).status).toBe(200)
    // Recovery codes went with the last other one.
    expect(await handles(other)).toEqual([])
  })

  it('is for an administrator of all their tenants, who just logged in, or an operator to mend', async () => {
    const { browser, sub, name } = await enrolled()
    const elsewhere = client.browser()
    await elsewhere.login((await client.person(['admin'], 'beta')).name)
    const path = `/v1/subjects/${sub}/factors`
    expect((await elsewhere.send('DELETE', path, {})).json.code).toBe('account_unknown')
    expect((await browser.send('DELETE', path, {})).json.code).toBe('not_permitted')
    const admin = client.browser()
    await admin.login((await client.person(['admin'])).name)
    expect((await admin.send('DELETE', `/v1/subjects/sub_dan/factors`, {})).json.code).toBe('not_permitted')
    const id = '7b1c8f1e-6a0c-4c39-9a52-3f1f0a9d0c11'
    const answer = await admin.send('DELETE', path, { id })
    expect(answer.json.state).toBe('acknowledged')
    expect((await admin.send('DELETE', path, { id })).json.seq).toBe(answer.json.seq)
    expect((await browser.get('/session')).status).toBe(401)
    await browser.login(name)
    expect(await handles(browser)).toEqual([])
    expect((await client.operate('DELETE', path)).json.code).toBe('factor_unknown')
    expect((await browser.post('/v1/factors/totp')).status).toBe(201)
  })
})

describe('abandonment', () => {
  it('counts who was asked and never answered, once, and nobody who did', async () => {
    const later = new World()
    const one = await later.start({ COUNTERSIGN_SWEEP_INTERVAL: '50ms', COUNTERSIGN_STEP_UP_LIFE: '300ms' })
    const count = async (outcome: string) => {
      const { text } = await one.get('/metrics')
      return Number(
        new RegExp(`^countersign_step_ups_total\\{outcome="${outcome}"\\} (\\d+)`, 'm').exec(text)?.[1] ?? 0,
      )
    }
    try {
      const { name } = await one.person()
      const browser = one.browser()
      await browser.login(name)
      await enrolApp(browser, later.clock)
      await browser.get('/step-up')
      await browser.get('/step-up')
      for (let i = 0; i < 200 && (await count('abandoned')) === 0; i++)
        await new Promise((done) => setTimeout(done, 20))
      expect([await count('prompted'), await count('abandoned'), await count('passed')]).toEqual([1, 1, 0])
      const told = later.lines.map((line) => JSON.parse(line)).filter(({ action }) => action === 'step_up')
      expect(told.map(({ outcome }) => outcome)).toEqual(['prompted', 'abandoned'])
    } finally {
      await later.destroy()
    }
  })
})

describe('authorization (RFC 9470 §4)', () => {
  const ask = (browser: Client, more: Record<string, string>) => browser.get(oauth.request(oauth.web, more).path)

  it('leads through a factor and comes back with a code whose tokens say so', async () => {
    const { browser, secret } = await enrolled()
    const { verifier, path } = oauth.request(oauth.web, { acr_values: 'mfa phr', max_age: '60' })
    const page = await browser.get(path)
    const onward = /name="continue" value="([^"]+)"/
      .exec(page.text)?.[1]
      ?.replaceAll(/&#(\d+);/g, (_, n) => String.fromCharCode(n))
    expect([page.status, page.text.includes('action="/step-up"')]).toEqual([200, true])
    expect(page.headers.get('content-security-policy')).toContain('https://app.example.test')
    const stepped = await browser.post('/step-up', `code=${code(secret)}&continue=${encodeURIComponent(onward ?? '')}`)
    const back = await browser.get(stepped.headers.get('location') ?? '')
    const tokens = await oauth.exchange(oauth.web, { code: answerOf(back).code ?? '', verifier })
    const claims = JSON.parse(Buffer.from(tokens.json.access_token.split('.')[1], 'base64url').toString())
    expect([claims.acr, claims.amr]).toEqual(MFA)
    expect(claims.auth_time).toBeGreaterThan(world.clock.now() / 1000 - 30)
    expect((await oauth.introspect(tokens.json.access_token)).json.acr).toBe('mfa')
    const refreshed = await oauth.refresh(tokens.json.refresh_token)
    expect((await oauth.introspect(refreshed.json.access_token)).json).toMatchObject({
      acr: 'mfa',
      auth_time: claims.auth_time,
    })
    // Stronger than asked for will do, and asks nothing.
    expect(answerOf(await ask(browser, { acr_values: 'pwd' }))).toHaveProperty('code')
    expect(answerOf(await ask(browser, { acr_values: 'mfa' }))).toHaveProperty('code')
  })

  it('asks for the factor still after a login on the way', async () => {
    const { name } = await enrolled()
    const browser = client.browser()
    const page = await ask(browser, { acr_values: 'phr mfa' })
    const onward = /name="continue" value="([^"]+)"/.exec(page.text)?.[1]?.replaceAll('&#38;', '&') ?? ''
    const form = new URLSearchParams({ email: `${name}@example.test`, password: PASSWORD, continue: onward })
    const login = await browser.post('/login', form.toString())
    expect((await browser.get(login.headers.get('location') ?? '')).text).toContain('action="/step-up"')
  })

  it('asks once for both, a factor and to be there now', async () => {
    const { browser, secret } = await enrolled()
    await browser.post('/step-up', { code: code(secret) })
    for (const more of [{ max_age: '0' }, { prompt: 'login' }] as Record<string, string>[]) {
      const page = await ask(browser, { acr_values: 'mfa', ...more })
      expect([page.status, page.text.includes('action="/step-up"')]).toEqual([200, true])
      expect((await ask(browser, more)).text).toContain('action="/reauthenticate"')
    }
  })

  it('tells the client what the person cannot show', async () => {
    const { browser } = await enrolled()
    const unmet = 'unmet_authentication_requirements'
    expect(answerOf(await ask(browser, { acr_values: 'phr' }))).toMatchObject({ error: unmet, state: 'state-1' })
    expect(answerOf(await ask(browser, { acr_values: 'gold urn:other' }))).toMatchObject({ error: unmet })
    expect((await ask(browser, { acr_values: 'gold mfa' })).text).toContain('action="/step-up"')
    const without = client.browser()
    await without.login((await client.person()).name)
    expect(answerOf(await ask(without, { acr_values: 'mfa' }))).toMatchObject({ error: unmet })
    expect(answerOf(await ask(without, { acr_values: 'pwd' }))).toHaveProperty('code')
    expect(answerOf(await ask(browser, { acr_values: 'mfa', prompt: 'none' })).error).toBe('interaction_required')
    expect((await ask(client.browser(), { acr_values: 'mfa' })).text).toContain('action="/login"')
    const nobody = await ask(client.browser(), { acr_values: 'mfa', prompt: 'none' })
    expect(answerOf(nobody).error).toBe('login_required')
    const { json } = await client.get('/.well-known/oauth-authorization-server')
    expect(json.acr_values_supported).toEqual(['pwd', 'mfa', 'phr'])
  })
})

describe('a seed', () => {
  it('may give accounts an authenticator app', async () => {
    const seeded = new World()
    const account = {
      email: 'sue@example.test',
      password: PASSWORD,
      affiliations: [{ tenant: 'acme', roles: ['member'] }],
    }
    const seed = (totp: string) => ({ COUNTERSIGN_SEED: JSON.stringify({ accounts: [{ ...account, totp }] }) })
    try {
      await expect(seeded.start(seed('short'))).rejects.toThrow('accounts.0.totp')
      const one = await seeded.start(seed(SEEDED))
      await one.login('sue')
      expect((await one.post('/step-up', { code: codeOf(SEEDED, seeded.clock.now()) })).json.acr).toBe('mfa')
    } finally {
      await seeded.destroy()
    }
  })
})
