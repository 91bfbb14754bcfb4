/** Steps hours apart, by different people, in one transaction; and work that outlives its envelope. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { Office } from './office.ts'

let office: Office
let orders = 0
beforeAll(async () => {
  office = await Office.start()
}, 60_000)
afterAll(() => office?.close())
beforeEach(async () => {
  await office.rest()
  office.handlers = {}
})

/** Asked for by one and, three hours later, approved by another; what the payment is given to rely on. */
async function approved(by: string): Promise<{ order: string; evidence: Buffer; cookie: string; txn: string }> {
  const order = `order-${++orders}`
  const requester = await office.login(by)
  const asking = await requester.identity()
  const request = await office.step('ask', order, asking)
  await office.later(3)
  const approver = await office.login('bob')
  const approval = await office.step('approve', order, await approver.identity(), [request.evidence()])
  await office.later(1)
  return { order, evidence: approval.evidence(), cookie: requester.cookie, txn: asking.txn }
}

/** Pays and wires an order, by one who has just logged in. @returns what became of both. */
async function paid(order: string, evidence: Buffer): Promise<{ pay: string; wire: string }> {
  const payer = await (await office.login('gus')).identity()
  await office.step('pay', order, payer, [evidence])
  await office.step('wire', order, payer, [evidence])
  await office.work()
  return { pay: await office.state('pay', order), wire: await office.state('wire', order) }
}

describe('a payment that relies on its approval and on its request', () => {
  test('runs, in the transaction of the request, and knows who asked and who approved', async () => {
    const { order, evidence, txn } = await approved('ann')
    const seen: unknown[] = []
    office.handlers = {
      pay: ({ identity, earlier }) => void seen.push(identity.txn, [identity.sub, ...earlier.map(({ sub }) => sub)]),
    }
    expect(await paid(order, evidence)).toEqual({ pay: 'executed', wire: 'executed' })
    expect(seen).toEqual([txn, ['gus', 'bob', 'ann']])
  })

  test('is by class, when who asked has merely logged out since', async () => {
    const { order, evidence, cookie } = await approved('ann')
    await office.logout(cookie)
    expect(await paid(order, evidence)).toEqual({ pay: 'executed', wire: 'denied earlier_revoked_logout' })
  })

  test('is denied when who asked was suspended in between', async () => {
    const { order, evidence } = await approved('eve')
    await office.operate('/v1/subjects/eve/suspend')
    const reason = 'denied earlier_revoked_suspension'
    expect(await paid(order, evidence)).toEqual({ pay: reason, wire: reason })
  })

  test('is denied when the transaction of the request is ended, whoever pays', async () => {
    const { order, evidence, txn } = await approved('ann')
    await office.operate('/v1/revocations', { target: { kind: 'transaction', id: txn }, reason: 'compromise' })
    const reason = 'denied revoked_compromise'
    expect(await paid(order, evidence)).toEqual({ pay: reason, wire: reason })
  })

  test('is stopped while it runs', async () => {
    const { order, evidence } = await approved('fay')
    office.handlers = {
      pay: ({ signal }) =>
        new Promise((_, reject) => {
          signal.addEventListener('abort', () => reject(signal.reason), { once: true })
          void office.operate('/v1/subjects/fay/suspend')
        }),
    }
    expect((await paid(order, evidence)).pay).toBe('denied revoked_while_running')
  })

  test('cannot be asked for once the window of the request has passed', async () => {
    const { order, evidence } = await approved('ann')
    await office.later(21)
    const payer = await (await office.login('gus')).identity()
    await expect(office.step('pay', order, payer, [evidence])).rejects.toMatchObject({ denial: 'reliance_refused' })
  })
})

describe('work that goes on for hours', () => {
  test('starts the next under a successor, and that relies on all that the work did', async () => {
    const { order, evidence } = await approved('ann')
    const told: unknown[] = []
    office.handlers = {
      pay: async ({ derive, envelope }) => {
        await office.later(4)
        expect(envelope?.opened.claims.exp).toBeLessThan(office.clock.now())
        await derive({ topic: 'purchases.tell', value: { order } })
      },
      tell: ({ identity, earlier, envelope }) => {
        const [, parent] = envelope?.opened.chain ?? []
        told.push(
          identity.act[0]?.sub,
          parent?.succession?.count,
          parent?.req_wl,
          earlier.map(({ sub }) => sub),
        )
      },
    }
    const payer = await (await office.login('gus')).identity()
    await office.boundary.jobs.send({
      ...{ topic: 'purchases.pay', value: { order }, identity: payer, reliesOn: [evidence], expiresInMs: 3_600_000 },
    })
    await office.work()
    expect(await office.state('tell', order)).toBe('executed')
    expect(told).toEqual(['payer', 1, 'identity', ['bob', 'ann']])
  })

  test('starts nothing once who pays has logged out: identity vouches no more, though the class lets it finish', async () => {
    const { order, evidence } = await approved('ann')
    const gus = await office.login('gus')
    let refused: unknown
    office.handlers = {
      pay: async ({ derive }) => {
        await office.logout(gus.cookie)
        await office.later(2)
        await derive({ topic: 'purchases.tell', value: { order } }).catch((error: unknown) => {
          refused = error
        })
      },
    }
    const given = { topic: 'purchases.pay', value: { order }, identity: await gus.identity(), reliesOn: [evidence] }
    await office.boundary.jobs.send({ ...given, expiresInMs: 3_600_000 })
    await office.later(0.1)
    await office.work()
    expect(await office.state('pay', order)).toBe('executed')
    expect(refused).toMatchObject({ code: 'ENFORCER_DERIVE_REFUSED', detail: { reason: 'authority_ended' } })
  })

  test('parked until its envelope was over, it is redriven under a successor', async () => {
    const { order, evidence } = await approved('ann')
    const gus = await office.login('gus')
    const given = { topic: 'purchases.pay', value: { order }, identity: await gus.identity(), reliesOn: [evidence] }
    await office.boundary.jobs.send({ ...given, expiresInMs: 3_600_000 })
    await office.park()
    await office.later(2)
    const seen: unknown[] = []
    office.handlers = {
      pay: ({ value, envelope, earlier }) => {
        if (value.order === order) seen.push(envelope?.opened.claims.succession?.count, earlier.length)
      },
    }
    await office.redrive()
    expect(await office.state('pay', order)).toBe('executed')
    expect(seen).toEqual([1, 2])
  })
})
