import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Secret } from '@countersign/kernel'
import { expect, test } from 'vitest'
import { IdentityAdmin } from './identity-admin.ts'

test('a name that would be a way to somewhere else is nobody’s, and is not asked for', async () => {
  const asked: string[] = []
  const server = createServer((request, response) => {
    asked.push(`${request.method} ${request.url}`)
    response.setHeader('content-type', 'application/json')
    response.end(JSON.stringify({ state: 'acknowledged', sub: 'x', sessions: [] }))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const identity = new IdentityAdmin({ url: `http://127.0.0.1:${port}`, secret: new Secret('x'), timeoutMs: 2_000 })
  const id = '3f0a57c2-9d5e-4c3b-8f6e-0a1b2c3d4e5f'
  for (const name of ['.', '..']) {
    expect(await identity.person(name)).toBeNull()
    expect(await identity.sessions(name)).toEqual([])
    expect(await identity.endAll(name, id, 'r')).toMatchObject({ state: 'refused' })
    expect(await identity.endSession('u_1', name, id, 'r')).toMatchObject({ state: 'refused' })
  }
  expect(asked).toEqual([])
  await identity.person('../../secrets?x=%2e#')
  expect(asked).toEqual(['GET /v1/accounts/..%2F..%2Fsecrets%3Fx%3D%252e%23'])
  server.close()
})
