/** A server that speaks RESP2 and answers scripts as a test wants; for tests. */
import { createServer, type Server, type Socket } from 'node:net'

/** A command as sent. */
export type Sent = readonly string[]

/** What to put on the wire for a command; null to stay silent. */
export type Answering = (sent: Sent, socket: Socket) => string | Buffer | null

export class FakeRedis {
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  readonly sent: Sent[] = []
  connections = 0
  /** Answers to scripts. */
  onScript: Answering = () => null
  /** What CONFIG GET and INFO say; null refuses to tell. */
  policy: string | null = 'noeviction'
  appends: string | null = 'yes'

  constructor() {
    this.#server = createServer((socket) => this.#serve(socket))
  }

  async start(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve))
    const address = this.#server.address()
    return `redis://127.0.0.1:${typeof address === 'object' && address ? address.port : 0}`
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  #serve(socket: Socket): void {
    this.connections++
    this.#sockets.add(socket)
    socket.on('close', () => this.#sockets.delete(socket))
    socket.on('error', () => {})
    let rest = Buffer.alloc(0)
    socket.on('data', (chunk) => {
      rest = Buffer.concat([rest, chunk])
      for (;;) {
        const parsed = commandOf(rest)
        if (parsed === null) return
        rest = rest.subarray(parsed.length)
        this.sent.push(parsed.sent)
        const answer = this.#answer(parsed.sent, socket)
        if (answer !== null && !socket.destroyed) socket.write(answer)
      }
    })
  }

  #answer(sent: Sent, socket: Socket): string | Buffer | null {
    const name = sent[0]?.toLowerCase()
    if (name === 'evalsha') return this.onScript(sent, socket)
    if (name === 'script') return bulk('digest')
    if (name === 'config') {
      const value = sent[2] === 'appendonly' ? this.appends : this.policy
      return value === null ? '-NOPERM no\r\n' : array([bulk(sent[2] ?? ''), bulk(value)])
    }
    if (name === 'info' && this.policy === null) return '-NOPERM no\r\n'
    if (name === 'info') return bulk('redis_version:7.0.15\r\nloading:0\r\n')
    return '+OK\r\n'
  }
}

export function bulk(text: string): string {
  return `$${Buffer.byteLength(text)}\r\n${text}\r\n`
}

export function array(items: readonly string[]): string {
  return `*${items.length}\r\n${items.join('')}`
}

/** Number of the request of a script command, which its answer must begin with. */
export function requestOf(sent: Sent): string {
  return sent[3 + Number(sent[2])] ?? ''
}

function commandOf(bytes: Buffer): { sent: string[]; length: number } | null {
  let at = 0
  const line = (): number | null => {
    const end = bytes.indexOf('\r\n', at)
    if (end < 0) return null
    const value = Number(bytes.toString('latin1', at + 1, end))
    at = end + 2
    return value
  }
  const count = line()
  if (count === null) return null
  const sent: string[] = []
  for (let i = 0; i < count; i++) {
    const length = line()
    if (length === null || bytes.length < at + length + 2) return null
    sent.push(bytes.toString('utf8', at, at + length))
    at += length + 2
  }
  return { sent, length: at }
}
