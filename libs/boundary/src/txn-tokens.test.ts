import { describe, expect, test } from 'vitest'
import type { BoundaryIdentity } from './identity.ts'
import { cookieRequest, NOW, requestOf, type Stand, stand } from './testing.ts'

const DOMAIN = 'services.example'
const txnTokens = { trustDomain: DOMAIN }

async function identityOf(from: Stand, request = cookieRequest): Promise<BoundaryIdentity> {
  const admission = await from.boundary.admit(request)
  if (!admission.ok) throw new Error(admission.code)
  return admission.identity
}

describe('a transaction token', () => {
  test('sealed at one boundary is an identity at another, of the same transaction', async () => {
    const edge = stand({ txnTokens, workload: 'edge' })
    const behind = stand({ txnTokens, workload: 'behind' }, edge.authority)
    const first = await identityOf(edge)
    const token = edge.boundary.txnToken(first, { scopes: ['invoices:read'], details: { invoice: 'i-1' } })
    if (!token.ok) throw new Error(token.code)
    expect(token.expiresAt).toBe(NOW + 60_000)
    const second = await identityOf(behind, requestOf([['Txn-Token', token.text]]))
    expect(second).toMatchObject({
      sub: first.sub,
      tenant: first.tenant,
      credential: 'session_cookie',
      scopes: ['invoices:read'],
      txn: first.txn,
      requestId: first.requestId,
      correlationId: first.correlationId,
      ip: first.ip,
      details: { invoice: 'i-1' },
      expiresAt: first.expiresAt,
    })
  })
})
