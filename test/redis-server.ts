/** A Redis of a test's own: durable as identity's store asks for; killed, frozen, rolled back, and brought back from its file. */
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { freePorts } from '../infra/stack/ports.ts'
import { isAlive, kill, type ProcessIdentity } from '../infra/stack/process.ts'
import { redisReady, startRedis } from '../infra/stack/redis.ts'

const READY_WITHIN_MS = 30_000

/** Whether this machine has `redis-server`. */
export function hasRedis(): boolean {
  return (process.env.PATH ?? '').split(delimiter).some((folder) => existsSync(join(folder, 'redis-server')))
}

/** What identity's store may be on here; the skipped ones say why. */
export const STORES: readonly { readonly store: string; readonly skipped: boolean }[] = [
  { store: 'SQLite', skipped: false },
  { store: hasRedis() ? 'Redis' : 'Redis, which is not installed here', skipped: !hasRedis() },
]

export class RedisServer {
  readonly port: number
  readonly folder: string = mkdtempSync(join(tmpdir(), 'countersign-redis-'))
  readonly #settings: Readonly<Record<string, string>>
  #process: ProcessIdentity | null = null

  private constructor(port: number, settings: Readonly<Record<string, string>>) {
    this.port = port
    this.#settings = settings
    // It would outlive a run that ends without stopping it.
    process.once('exit', () => {
      if (isAlive(this.#process)) process.kill((this.#process as ProcessIdentity).pid, 'SIGKILL')
    })
  }

  /** Empty, on a port of its own, and answering. */
  static async start(settings: Readonly<Record<string, string>> = {}): Promise<RedisServer> {
    const [port] = await freePorts(1)
    if (port === undefined) throw new Error('no free port')
    const server = new RedisServer(port, settings)
    await server.restart()
    return server
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`
  }

  get pid(): number | null {
    return this.#process?.pid ?? null
  }

  get #data(): string {
    return join(this.folder, 'data')
  }

  /** Sends one command, on a connection of its own. */
  async ask(...[name, ...args]: [string, ...string[]]): Promise<unknown> {
    const client = new Redis({ port: this.port, lazyConnect: true, retryStrategy: () => null })
    client.on('error', () => {})
    try {
      await client.connect()
      return await client.call(name, ...args)
    } finally {
      client.disconnect()
    }
  }

  /** It stands still, with its connections open, until it is told to go on. */
  freeze(): void {
    this.#signal('SIGSTOP')
  }

  thaw(): void {
    this.#signal('SIGCONT')
  }

  /** Lets it end by itself: everything it acknowledged is on disk. */
  async end(): Promise<void> {
    this.#signal('SIGTERM')
    while (isAlive(this.#process)) await sleep(20)
    this.#process = null
  }

  /** Copies what it has on disk, to put back later. Only while it is ended. */
  backup(): string {
    const copy = join(this.folder, `copy-${performance.now()}`)
    cpSync(this.#data, copy, { recursive: true })
    return copy
  }

  /** Puts a copy in the place of what it has. Only while it is ended. */
  restore(copy: string): void {
    rmSync(this.#data, { recursive: true, force: true })
    cpSync(copy, this.#data, { recursive: true })
  }

  #signal(name: NodeJS.Signals): void {
    if (isAlive(this.#process)) process.kill((this.#process as ProcessIdentity).pid, name)
  }

  /** SIGKILL; what it had written stays in its folder. */
  async kill(): Promise<void> {
    await kill(this.#process)
    this.#process = null
  }

  /** Starts it again on what its folder holds; resolves when that is loaded. */
  async restart(): Promise<void> {
    await this.kill()
    const logFile = join(this.folder, 'redis.log')
    this.#process = startRedis({ port: this.port, dir: this.#data, logFile, settings: this.#settings })
    const deadline = performance.now() + READY_WITHIN_MS
    while (!(await redisReady(this.port))) {
      if (!isAlive(this.#process) || performance.now() > deadline) {
        throw new Error(`redis-server is not ready:\n${existsSync(logFile) ? readFileSync(logFile, 'utf8') : ''}`)
      }
      await sleep(20)
    }
  }

  /** Ends it and deletes what it kept. */
  async stop(): Promise<void> {
    await this.kill()
    rmSync(this.folder, { recursive: true, force: true })
  }
}
