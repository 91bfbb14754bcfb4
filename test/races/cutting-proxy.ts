/**
 * A TCP proxy that cuts connections at random: before a request went on, after it went on and before its answer came
 * back, or in the middle of either. What was cut is known to neither side, as on a network.
 */
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'

/** Where a chunk was when its connection was cut. */
export type Cut = 'request' | 'half request' | 'answer' | 'half answer'

export const CUTS: readonly Cut[] = ['request', 'half request', 'answer', 'half answer']

export interface CuttingOptions {
  /** Port on loopback behind it. */
  readonly target: number
  /** Uniform in [0, 1). */
  readonly random: () => number
  /** Probability that a chunk, either way, is not passed on as it is. */
  readonly cuts: number
}

export class CuttingProxy {
  readonly #options: CuttingOptions
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  readonly cut: Record<Cut, number> = { request: 0, 'half request': 0, answer: 0, 'half answer': 0 }
  /** Probability in force. */
  cuts: number
  #away = false

  private constructor(options: CuttingOptions) {
    this.#options = options
    this.cuts = options.cuts
    this.#server = createServer((client) => this.#join(client))
  }

  static async start(options: CuttingOptions): Promise<CuttingProxy> {
    const proxy = new CuttingProxy(options)
    proxy.#server.listen(0, '127.0.0.1')
    await once(proxy.#server, 'listening')
    return proxy
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  get cutsSoFar(): number {
    return CUTS.reduce((sum, kind) => sum + this.cut[kind], 0)
  }

  /** From here on nothing gets through, until `back`. */
  away(): void {
    this.#away = true
    for (const socket of this.#sockets) socket.destroy()
  }

  back(): void {
    this.#away = false
  }

  async stop(): Promise<void> {
    this.away()
    this.#server.close()
    await once(this.#server, 'close')
  }

  #join(client: Socket): void {
    if (this.#away) {
      client.destroy()
      return
    }
    const server = connect({ host: '127.0.0.1', port: this.#options.target })
    const end = (): void => {
      client.destroy()
      server.destroy()
    }
    for (const socket of [client, server]) {
      socket.setNoDelay(true)
      this.#sockets.add(socket)
      socket.on('error', end)
      socket.on('close', () => {
        this.#sockets.delete(socket)
        end()
      })
    }
    this.#pass(client, server, 'request', end)
    this.#pass(server, client, 'answer', end)
  }

  #pass(from: Socket, to: Socket, what: 'request' | 'answer', end: () => void): void {
    const { random } = this.#options
    from.on('data', (chunk: Buffer) => {
      if (random() >= this.cuts) {
        if (!to.write(chunk)) from.pause()
        return
      }
      const half = random() < 0.5
      const kind: Cut = half ? `half ${what}` : what
      this.cut[kind]++
      from.pause()
      if (half) to.write(chunk.subarray(0, Math.floor(chunk.length * random())), end)
      else end()
    })
    to.on('drain', () => from.resume())
    from.on('end', () => to.end())
  }
}
