/** Worker processes: some at work, some waiting with a view that is proven, so that who dies is replaced at once. */
import { type ChildProcess, fork } from 'node:child_process'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FromWorker, Shift, ToWorker } from './shift.ts'
import type { Place } from './topics.ts'

const ROOT = join(import.meta.dirname, '../..')
const READY_MS = 60_000
/** Longest a worker may take to leave in good order. */
const LEAVE_MS = 15_000

/** One process. */
export class Worker {
  readonly ready: Promise<void>
  /** Resolves when the process is gone, with the signal that ended it. */
  readonly gone: Promise<NodeJS.Signals | null>
  alive = true
  readonly #child: ChildProcess
  #heard: (message: FromWorker) => void = () => {}
  #said = ''

  constructor(place: Place & { readonly rootKey: string }, env: Readonly<Record<string, string>>) {
    this.#child = fork(join(import.meta.dirname, 'worker.ts'), {
      cwd: ROOT,
      execArgv: [
        '--conditions=@countersign/source',
        '--disable-warning=ExperimentalWarning',
        '--disable-warning=TimeoutNegativeWarning',
      ],
      env: {
        PATH: process.env.PATH ?? '',
        NODE_COMPILE_CACHE: join(ROOT, '.cache/compile'),
        CONSERVATION_PLACE: JSON.stringify(place),
        ...env,
      },
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    })
    this.#child.stderr?.on('data', (text) => {
      this.#said = `${this.#said}${text}`.slice(-2_000)
    })
    this.#child.on('message', (message: FromWorker) => this.#heard(message))
    this.gone = new Promise((resolve) =>
      this.#child.once('exit', (_code, signal) => {
        this.alive = false
        resolve(signal)
      }),
    )
    this.ready = this.#told('ready', READY_MS)
    // Who waits for it is told; a spare that nobody asks for may fail in silence.
    this.ready.catch(() => {})
  }

  /** Begins a shift. Resolves when it belongs to the group, or is gone. */
  async work(shift: Shift): Promise<void> {
    const joined = this.#told('joined', READY_MS)
    this.#send({ type: 'work', shift })
    await Promise.race([joined, this.gone])
  }

  /** Ends its shift in good order; kills it when that takes too long. @returns whether it is there for another. */
  async leave(): Promise<boolean> {
    if (!this.alive) return false
    const left = this.#told('left', LEAVE_MS)
    this.#send({ type: 'leave' })
    const inOrder = await Promise.race([left.then(() => true), this.gone.then(() => false)]).catch(() => false)
    if (!inOrder) await this.end()
    return inOrder
  }

  freeze(): void {
    if (this.alive) this.#child.kill('SIGSTOP')
  }

  thaw(): void {
    if (this.alive) this.#child.kill('SIGCONT')
  }

  async end(): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.gone
  }

  #send(message: ToWorker): void {
    if (this.#child.connected) this.#child.send(message, () => {})
  }

  #told(type: FromWorker['type'], withinMs: number): Promise<void> {
    const told = new Promise<void>((resolve) => {
      this.#heard = (message) => {
        if (message.type === type) resolve()
      }
    })
    const failed = this.gone.then((signal) => {
      if (signal === null) throw new Error(`a worker ended before it was ${type}: ${this.#said}`)
    })
    const late = sleep(withinMs, undefined, { ref: false }).then(() => {
      throw new Error(`a worker was not ${type} within ${withinMs / 1000} s: ${this.#said}`)
    })
    late.catch(() => {})
    return Promise.race([told, failed, late])
  }
}

export class Crew {
  readonly #make: () => Worker
  readonly #spares: Worker[] = []
  readonly #all = new Set<Worker>()
  readonly #atLeast: number

  /** @param env more of the environment of each worker, such as faults planted into its code. */
  constructor(place: Place & { readonly rootKey: string }, env: Readonly<Record<string, string>>, atLeast: number) {
    this.#atLeast = atLeast
    this.#make = () => {
      const worker = new Worker(place, env)
      this.#all.add(worker)
      void worker.gone.then(() => this.#all.delete(worker))
      return worker
    }
    for (let i = 0; i <= atLeast; i++) this.#spares.push(this.#make())
  }

  /** A worker that is ready; another one is made in its stead. */
  async take(): Promise<Worker> {
    const worker = this.#spares.shift() ?? this.#make()
    if (this.#spares.length < this.#atLeast) this.#spares.push(this.#make())
    await worker.ready
    return worker
  }

  /** Takes back who has left in good order. */
  giveBack(worker: Worker): void {
    this.#spares.unshift(worker)
  }

  async end(): Promise<void> {
    await Promise.all([...this.#all].map((worker) => worker.end()))
  }
}
