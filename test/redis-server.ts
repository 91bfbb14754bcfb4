/** A Redis of a test's own: durable as identity's store asks for, killed and brought back from its append-only file. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePorts } from '../infra/stack/ports.ts'
import { isAlive, kill, type ProcessIdentity } from '../infra/stack/process.ts'
import { redisReady, startRedis } from '../infra/stack/redis.ts'

const READY_WITHIN_MS = 30_000

/** Whether this machine has `redis-server`. */
export function hasRedis(): boolean {
  return (process.env.PATH ?? '').split(delimiter).some((folder) => existsSync(join(folder, 'redis-server')))
}

export class RedisServer {
  readonly port: number
  readonly folder: string = mkdtempSync(join(tmpdir(), 'countersign-redis-'))
  #process: ProcessIdentity | null = null

  private constructor(port: number) {
    this.port = port
    // It would outlive a run that ends without stopping it.
    process.once('exit', () => {
      if (isAlive(this.#process)) process.kill((this.#process as ProcessIdentity).pid, 'SIGKILL')
    })
  }

  /** Empty, on a port of its own, and answering. */
  static async start(): Promise<RedisServer> {
    const [port] = await freePorts(1)
    if (port === undefined) throw new Error('no free port')
    const server = new RedisServer(port)
    await server.restart()
    return server
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`
  }

  get pid(): number | null {
    return this.#process?.pid ?? null
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
    this.#process = startRedis({ port: this.port, dir: join(this.folder, 'data'), logFile })
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
