/** A Redis of a test's own, on loopback: started, stopped, killed, frozen and restored as the test says. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'

/** Why no Redis can be started here, null when one can. */
export const noRedisServer: string | null =
  spawnSync('redis-server', ['--version']).status === 0 ? null : 'redis-server is not installed'

export class RedisServer {
  readonly port: number
  readonly folder: string = mkdtempSync(join(tmpdir(), 'countersign-redis-'))
  readonly #settings: Record<string, string>
  #child: ChildProcess | null = null

  private constructor(port: number, settings: Record<string, string>) {
    this.port = port
    this.#settings = settings
  }

  /** Starts one with an append-only file, unless `settings` say otherwise. */
  static async start(settings: Record<string, string> = {}): Promise<RedisServer> {
    const server = new RedisServer(await freePort(), settings)
    await server.start()
    return server
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`
  }

  async start(): Promise<void> {
    const settings = {
      port: String(this.port),
      bind: '127.0.0.1',
      dir: this.folder,
      appendonly: 'yes',
      appendfsync: 'everysec',
      save: '',
      ...this.#settings,
    }
    const args = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value])
    this.#child = spawn('redis-server', args, { stdio: 'ignore' })
    for (let i = 0; ; i++) {
      if ((await this.ask('ping').catch(() => null)) === 'PONG') return
      if (i === 200) throw new Error('redis-server did not start')
      await sleep(25)
    }
  }

  /** Sends one command on a connection of its own. */
  async ask(...[name, ...args]: [string, ...string[]]): Promise<unknown> {
    const client = new Redis({ port: this.port, host: '127.0.0.1', lazyConnect: true, retryStrategy: () => null })
    client.on('error', () => {})
    try {
      await client.connect()
      return await client.call(name, ...args)
    } finally {
      client.disconnect()
    }
  }

  freeze(): void {
    this.#child?.kill('SIGSTOP')
  }

  thaw(): void {
    this.#child?.kill('SIGCONT')
  }

  /** Ends the process; everything it had acknowledged is in its file, unless it is killed. */
  async stop(signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM'): Promise<void> {
    const child = this.#child
    this.#child = null
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    const gone = once(child, 'exit')
    child.kill('SIGCONT')
    child.kill(signal)
    await gone
  }

  /** Copies what it has on disk. Stopped alone is it whole. */
  backup(): string {
    const to = mkdtempSync(join(tmpdir(), 'countersign-redis-backup-'))
    cpSync(this.folder, to, { recursive: true })
    return to
  }

  /** Puts a backup in place of what it has. Only while stopped. */
  restore(from: string): void {
    rmSync(this.folder, { recursive: true, force: true })
    cpSync(from, this.folder, { recursive: true })
  }

  async destroy(): Promise<void> {
    await this.stop('SIGKILL')
    rmSync(this.folder, { recursive: true, force: true })
  }
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  server.close()
  await once(server, 'close')
  return port
}
