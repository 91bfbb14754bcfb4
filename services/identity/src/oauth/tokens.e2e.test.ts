import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Client, World } from '../testing.ts'
import { OAuthWorld } from './testing.ts'

let world: World
let identity: Client
let oauth: OAuthWorld
beforeAll(async () => {
  world = new World()
  identity = await world.start({ COUNTERSIGN_ISSUER: 'https://id.example.test' })
  oauth = await OAuthWorld.at(identity)
})
afterAll(() => world.destroy())

it('smokes', async () => {
  const tokens = await oauth.tokens('bob')
  console.log(tokens.scope, tokens.refresh_token, tokens.expires_in)
  const r = await oauth.refresh(tokens.refresh_token)
  console.log(r.status, r.text)
  const i = await oauth.introspect(r.json.access_token)
  console.log(i.status, i.text)
  const c = await oauth.token(
    { grant_type: 'client_credentials', client_id: oauth.robot.id, client_secret: oauth.robot.secret },
    null,
  )
  console.log(c.status, c.text)
  console.log(
    (await identity.get('/jwks.json')).text,
    (await identity.get('/.well-known/oauth-authorization-server')).text,
  )
  console.log((await oauth.revoke(r.json.refresh_token)).status, (await oauth.introspect(r.json.access_token)).text)
})
