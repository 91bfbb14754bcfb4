/** Identity's wall clock steps by an hour, the log's does not: nobody is logged out, and nothing that ended comes back. */
import { setTimeout as pause } from 'node:timers/promises'
import { systemClock } from '@countersign/kernel'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { OAuthWorld } from '../oauth/testing.ts'
import { type Client, until, World } from '../testing.ts'

const HOUR = 3_600_000
const LIVES = {
  COUNTERSIGN_OPAQUE_TOKEN_LIFE: '2s',
  COUNTERSIGN_REFRESH_GRACE: '300ms',
  COUNTERSIGN_CODE_LIFE: '2s',
  COUNTERSIGN_SWEEP_INTERVAL: '100ms',
}

describe.each([HOUR, -HOUR])('a step of %i ms', (step) => {
  let world: World
  let identity: Client
  let oauth: OAuthWorld
  beforeAll(async () => {
    world = new World()
    world.logClock = systemClock
    identity = await world.start({ COUNTERSIGN_ISSUER: 'https://id.example.test', ...LIVES })
    oauth = await OAuthWorld.at(identity)
  })
  afterAll(() => world.destroy())

  it('ends no session, token or family, and brings none back', async () => {
    const jwt = await oauth.tokens('bob', oauth.web)
    const gone = await oauth.tokens('eve', oauth.spa)
    const offline = await oauth.tokens('fay', oauth.web, { scope: 'invoices:read offline_access' })
    const api = await jwt.browser.post('/v1/api-sessions', { name: 'ci' })
    const { verifier, code } = await oauth.authorize(jwt.browser, oauth.web)
    const { browser: out } = await oauth.tokens('gus', oauth.web)
    const outCookie = out.cookie
    await out.post('/logout')
    const used = jwt.refresh_token
    const next = (await oauth.refresh(used)).json.refresh_token
    expect((await oauth.introspect(gone.access_token)).json.active).toBe(true)
    await pause(2_500)
    expect((await oauth.introspect(gone.access_token)).json.active).toBe(false)

    world.clock.offset += step
    // Several sweeps and checkpoints.
    await pause(500)

    expect((await identity.resolve(jwt.browser.cookie)).status).toBe(200)
    expect((await oauth.introspect(jwt.access_token)).json.active).toBe(true)
    const service = { authorization: 'Bearer canary-service-secret-0123456789abcdefg' }
    const bearer = { bearer: api.json.bearer }
    expect((await identity.browser().send('POST', '/v1/sessions/resolve', bearer, service)).status).toBe(200)
    expect((await oauth.refresh(offline.refresh_token)).status).toBe(200)
    const third = await oauth.refresh(next)
    expect(third.status).toBe(200)
    expect((await oauth.introspect(third.json.access_token)).json.active).toBe(true)

    expect((await oauth.introspect(gone.access_token)).json.active).toBe(false)
    expect((await oauth.exchange(oauth.web, { code, verifier })).json.error).toBe('invalid_grant')
    expect((await identity.resolve(outCookie)).status).toBe(404)
    // Its grace has passed, whatever the wall clock says.
    expect((await oauth.refresh(used)).json.error).toBe('invalid_grant')
    expect((await oauth.refresh(third.json.refresh_token)).json.error).toBe('invalid_grant')

    const causes = (await world.signals()).map(({ signal }) => signal.cause)
    expect(causes.filter((cause) => cause === 'expiry')).toEqual([])
    expect(causes.filter((cause) => cause === 'token_reuse')).toEqual(['token_reuse'])
    const late = identity.browser()
    expect((await late.login('hal')).status).toBe(200)
    expect((await late.post('/logout')).json.state).toBe('acknowledged')
    await until(async () => (await identity.resolve(late.cookie ?? outCookie)).status === 404)
  })
})
