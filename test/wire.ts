/** Stands between a client and a server on this machine: cuts, and leads elsewhere. */
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

export class Wire {
  /** Port that new connections are led to. */
  target: number
  readonly #server: ReturnType<typeof createServer>
  readonly #pairs = new Set<readonly [Socket, Socket]>()
  #chunks = Number.POSITIVE_INFINITY

  private constructor(target: number) {
    this.target = target
    this.#server = createServer((near) => this.#join(near))
  }

  static async start(target: number): Promise<Wire> {
    const wire = new Wire(target)
    await new Promise<void>((resolve) => wire.#server.listen(0, '127.0.0.1', resolve))
    return wire
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  /** Lets so many more pieces pass in either direction, then cuts that connection. */
  cutAfter(chunks: number): void {
    this.#chunks = chunks
  }

  /** Cuts what is connected now. */
  cut(): void {
    for (const [near, far] of this.#pairs) {
      near.destroy()
      far.destroy()
    }
  }

  async stop(): Promise<void> {
    this.cut()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  #join(near: Socket): void {
    const far = connect(this.target, '127.0.0.1')
    const pair = [near, far] as const
    this.#pairs.add(pair)
    const end = (): void => {
      this.#pairs.delete(pair)
      near.destroy()
      far.destroy()
    }
    for (const [from, to] of [pair, [far, near] as const]) {
      from.on('error', end).on('close', end)
      from.on('data', (chunk) => {
        if (this.#chunks-- > 0) to.write(chunk)
        else {
          this.#chunks = Number.POSITIVE_INFINITY
          end()
        }
      })
    }
  }
}
