/** A load balancer without stickiness: each connection goes to the next instance that takes it. */
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'

export class RoundRobin {
  readonly #server: Server
  readonly #ports: number[] = []
  readonly #clients = new Set<Socket>()
  #turn = 0

  private constructor() {
    this.#server = createServer((client) => {
      this.#clients.add(client)
      client.once('close', () => this.#clients.delete(client))
      this.#join(client, this.#ports.length)
    })
  }

  static async start(): Promise<RoundRobin> {
    const balancer = new RoundRobin()
    balancer.#server.listen(0, '127.0.0.1')
    await once(balancer.#server, 'listening')
    return balancer
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  add(port: number): void {
    this.#ports.push(port)
  }

  /** New connections go elsewhere; those it has stay. */
  remove(port: number): void {
    this.#ports.splice(this.#ports.indexOf(port), 1)
  }

  /** Cuts what is open: a client may keep an idle connection for more than a minute. */
  async stop(): Promise<void> {
    const closed = once(this.#server, 'close')
    this.#server.close()
    for (const client of this.#clients) client.destroy()
    await closed
  }

  #join(client: Socket, attempts: number): void {
    const port = this.#ports[this.#turn++ % this.#ports.length]
    if (port === undefined || attempts === 0) {
      client.destroy()
      return
    }
    const server = connect({ host: '127.0.0.1', port })
    client.on('error', () => server.destroy())
    client.once('close', () => server.destroy())
    const refused = (): void => this.#join(client, attempts - 1)
    server.once('error', refused)
    server.once('connect', () => {
      server.off('error', refused)
      server.on('error', () => client.destroy())
      client.pipe(server)
      server.pipe(client)
    })
  }
}
