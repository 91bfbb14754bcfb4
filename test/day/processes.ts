/** Starts, watches, freezes and ends the processes of the day, each with a log file of its own. */
import { type ChildProcess, spawn } from 'node:child_process'
import { createWriteStream } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

const ROOT = join(import.meta.dirname, '../..')
const READY_TIMEOUT_MS = 60_000

/** How to start one process. */
export interface ProcessSpec {
  readonly name: string
  /** Folder under `services/`. */
  readonly service: string
  readonly port: number
  /** Where `/readyz` is, when not at `port`. */
  readonly healthPort?: number
  readonly env: Readonly<Record<string, string>>
}

/** One process and its lives. */
export class Service {
  readonly spec: ProcessSpec
  readonly #logFile: string
  #child: ChildProcess | null = null

  constructor(spec: ProcessSpec, folder: string) {
    this.spec = spec
    this.#logFile = join(folder, `${spec.name}.log`)
  }

  get url(): string {
    return `http://127.0.0.1:${this.spec.port}`
  }

  /** Of the listener that operators use. */
  get insideUrl(): string {
    return `http://127.0.0.1:${this.spec.healthPort ?? this.spec.port}`
  }

  get logFile(): string {
    return this.#logFile
  }

  get pid(): number | undefined {
    return this.#child?.pid
  }

  /** Spawns the process; does not wait until it is ready. */
  start(): void {
    const log = createWriteStream(this.#logFile, { flags: 'a' })
    const child = spawn(
      process.execPath,
      [
        '--conditions=@countersign/source',
        '--disable-warning=ExperimentalWarning',
        '--disable-warning=TimeoutNegativeWarning',
        join(ROOT, 'services', this.spec.service, 'src/main.ts'),
      ],
      {
        cwd: ROOT,
        env: { PATH: process.env.PATH ?? '', NODE_COMPILE_CACHE: join(ROOT, '.cache/compile'), ...this.spec.env },
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    )
    child.stdout.pipe(log)
    child.stderr.pipe(log)
    this.#child = child
  }

  /** Resolves when `/readyz` says yes. @throws when the process ends or a minute passes first. */
  async ready(): Promise<void> {
    const deadline = performance.now() + READY_TIMEOUT_MS
    while (performance.now() < deadline) {
      if (this.#child === null || this.#child.exitCode !== null)
        throw new Error(`${this.spec.name} ended with code ${this.#child?.exitCode}; see ${this.#logFile}`)
      const answer = await fetch(`${this.insideUrl}/readyz`, { signal: AbortSignal.timeout(2_000) }).catch(() => null)
      if (answer?.ok) return
      await sleep(50)
    }
    throw new Error(`${this.spec.name} was not ready within ${READY_TIMEOUT_MS / 1000} s; see ${this.#logFile}`)
  }

  /** SIGSTOP. */
  freeze(): void {
    this.#child?.kill('SIGSTOP')
  }

  /** SIGCONT. */
  thaw(): void {
    this.#child?.kill('SIGCONT')
  }

  /** SIGKILL, and waits until it is gone. */
  async kill(): Promise<void> {
    await this.#end('SIGKILL')
  }

  /** SIGTERM, then SIGKILL after ten seconds. */
  async stop(): Promise<void> {
    const child = this.#child
    const hard = setTimeout(() => child?.kill('SIGKILL'), 10_000)
    await this.#end('SIGTERM')
    clearTimeout(hard)
  }

  async #end(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    const child = this.#child
    this.#child = null
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    const gone = new Promise((resolve) => child.once('exit', resolve))
    child.kill(signal)
    await gone
  }
}

/** A free loopback port. Another process could take it before it is used; the start then says so. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() =>
        address && typeof address === 'object' ? resolve(address.port) : reject(new Error('no free port')),
      )
    })
  })
}
