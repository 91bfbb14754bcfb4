/** A process that writes requests made beforehand, each when it is due, and does nothing else meanwhile. */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { hrtime } from 'node:process'
import { setTimeout } from 'node:timers/promises'
import type { Address, SendOrder, Sent, TakeOrder } from './contract.ts'
import { producedAt } from './produce-request.ts'

let taken: TakeOrder[] = []

process.on('message', async (order: TakeOrder | SendOrder) => {
  if ('bytes' in order) {
    taken.push(order)
    process.send?.('taken')
    return
  }
  const requests = taken
  taken = []
  process.send?.(await send(requests, order))
})
process.on('disconnect', () => process.exit(0))

async function send(requests: readonly TakeOrder[], { leaders, everyMs }: SendOrder): Promise<readonly Sent[]> {
  const answers = new Answers(requests.length)
  const sockets = await connected(leaders, answers)
  const times = new BigInt64Array(requests.length)
  const began = performance.now()
  for (const [i, { partition, bytes }] of requests.entries()) {
    const wait = began + i * everyMs - performance.now()
    if (wait > 0) await setTimeout(wait)
    times[i] = hrtime.bigint()
    sockets[partition]?.write(bytes)
  }
  const bodies = await answers.all
  for (const socket of sockets) socket.destroy()
  const offsets = await Promise.all(bodies.map(producedAt))
  return requests.map(({ partition }, i) => ({ partition, first: offsets[i] as number, at: times[i] as bigint }))
}

/** @returns by partition; those with one leader share a socket. */
async function connected(leaders: readonly Address[], answers: Answers): Promise<readonly Socket[]> {
  const sockets = new Map<string, Socket>()
  for (const { host, port } of leaders) {
    const name = `${host}:${port}`
    if (sockets.has(name)) continue
    const socket = connect({ host, port, noDelay: true })
    await once(socket, 'connect')
    answers.from(socket)
    sockets.set(name, socket)
  }
  return leaders.map(({ host, port }) => sockets.get(`${host}:${port}`) as Socket)
}

/** The answers to requests numbered from 0, as their sockets bring them. */
class Answers {
  readonly all: Promise<readonly Buffer[]>
  readonly #resolve: (bodies: readonly Buffer[]) => void
  readonly #reject: (error: Error) => void
  readonly #bodies: Buffer[]
  #missing: number

  constructor(count: number) {
    const { promise, resolve, reject } = Promise.withResolvers<readonly Buffer[]>()
    this.all = promise
    this.#resolve = resolve
    this.#reject = reject
    this.#bodies = new Array<Buffer>(count)
    this.#missing = count
  }

  from(socket: Socket): void {
    let rest: Buffer = Buffer.alloc(0)
    socket.on('data', (bytes) => {
      rest = rest.length === 0 ? bytes : Buffer.concat([rest, bytes])
      while (rest.length >= 4 && rest.length >= 4 + rest.readInt32BE()) {
        const end = 4 + rest.readInt32BE()
        this.#take(rest.subarray(4, end))
        rest = rest.subarray(end)
      }
    })
    // A broker hangs up on what it cannot read.
    socket.once('close', () => this.#reject(new Error('the broker closed the connection')))
  }

  #take(answer: Buffer): void {
    this.#bodies[answer.readInt32BE()] = answer.subarray(4)
    if (--this.#missing === 0) this.#resolve(this.#bodies)
  }
}
