/** The alternative: a Redis that knows the same floors, asked once per message in one pipeline. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { FloorEntry, Reason, View } from '@countersign/revocation'
import type { EnvelopeClaims } from '@countersign/schemas'
import { Redis } from 'ioredis'
import { pinned } from '../child.ts'

const PIPELINE = 5_000

/** A Redis of the bench's own, without persistence, on loopback. */
export class FloorsInRedis {
  readonly #client: Redis
  readonly #server: ChildProcess
  readonly #folder: string

  private constructor(client: Redis, server: ChildProcess, folder: string) {
    this.#client = client
    this.#server = server
    this.#folder = folder
  }

  /** @returns null where no redis-server is installed. */
  static async start(): Promise<FloorsInRedis | null> {
    const folder = mkdtempSync(join(tmpdir(), 'countersign-bench-'))
    const port = await freePort()
    const settings = [
      '--port',
      String(port),
      '--bind',
      '127.0.0.1',
      '--save',
      '',
      '--appendonly',
      'no',
      '--dir',
      folder,
    ]
    const [command = '', ...args] = [...pinned(0), 'redis-server', ...settings]
    const server = spawn(command, args, { stdio: 'ignore' })
    const client = new Redis({
      host: '127.0.0.1',
      port,
      lazyConnect: true,
      retryStrategy: (n) => (n < 50 ? 100 : null),
    })
    // Refused connections while it starts are retried; what matters comes out of `ping`.
    client.on('error', () => {})
    const running = new FloorsInRedis(client, server, folder)
    const failed = Promise.race([once(server, 'error'), once(server, 'exit')]).then(() => null)
    const ready = client.ping().then(() => running)
    ready.catch(() => {})
    const started = await Promise.race([failed, ready])
    if (started === null) await running.stop()
    return started
  }

  /** Stores every floor of the view: one string per target, its entries one after the other. */
  async load(view: View): Promise<void> {
    const floors = new Map<string, Buffer>()
    for (const { key } of view.facts()) floors.set(Buffer.from(key).toString('latin1'), Buffer.from(key))
    let pipeline = this.#client.pipeline()
    for (const key of floors.values()) {
      pipeline.set(key, view.floors(key).map(encode).join('\n'))
      if (pipeline.length < PIPELINE) continue
      await pipeline.exec()
      pipeline = this.#client.pipeline()
    }
    await pipeline.exec()
  }

  /** @returns the floors of each target of the claims, by one round trip. */
  async floorsOf(claims: EnvelopeClaims): Promise<(key: Uint8Array) => readonly FloorEntry[]> {
    const pipeline = this.#client.pipeline()
    const { targets } = claims.tctx
    for (const target of targets) pipeline.get(target.key as Buffer)
    const replies = (await pipeline.exec()) ?? []
    return (key) => {
      const [error, value] = replies[targets.findIndex((target) => target.key === key)] ?? []
      if (error) throw error
      return typeof value === 'string' ? value.split('\n').map(decode) : []
    }
  }

  async stop(): Promise<void> {
    this.#client.disconnect()
    if (this.#server.exitCode === null && this.#server.pid !== undefined) {
      const gone = once(this.#server, 'exit')
      this.#server.kill()
      await gone
    }
    rmSync(this.#folder, { recursive: true, force: true })
  }
}

function encode({ effect, fallback, higher, lower }: FloorEntry): string {
  return `${fallback} ${higher} ${lower} ${effect}`
}

function decode(line: string): FloorEntry {
  const [fallback = '', higher, lower, ...effect] = line.split(' ')
  return { effect: effect.join(' '), fallback: fallback as Reason, higher: Number(higher), lower: Number(lower) }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  server.close()
  await once(server, 'close')
  return port
}
