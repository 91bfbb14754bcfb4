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
  /** Judges each chunk of a request: cut before it goes on, or when its answer comes; null leaves it to chance. */
  doom: (chunk: Buffer) => 'request' | 'answer' | null = () => null
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
    const doomed = { answer: false }
    this.#pass(client, server, 'request', doomed, end)
    this.#pass(server, client, 'answer', doomed, end)
  }

  #pass(from: Socket, to: Socket, what: 'request' | 'answer', doomed: { answer: boolean }, end: () => void): void {
    from.on('data', (chunk: Buffer) => {
      const cut = this.#judge(chunk, what, doomed)
      if (cut === null) {
        if (!to.write(chunk)) from.pause()
        return
      }
      this.cut[cut]++
      from.pause()
      if (cut === what) end()
      else to.write(chunk.subarray(0, Math.floor(chunk.length * this.#options.random())), end)
    })
    to.on('drain', () => from.resume())
    from.on('end', () => to.end())
  }

  #judge(chunk: Buffer, what: 'request' | 'answer', doomed: { answer: boolean }): Cut | null {
    const { random } = this.#options
    const doom = what === 'request' ? this.doom(chunk) : null
    if (doom === 'request' || (what === 'answer' && doomed.answer)) return what
    if (doom === 'answer') doomed.answer = true
    if (random() >= this.cuts) return null
    return random() < 0.5 ? `half ${what}` : what
  }
}
