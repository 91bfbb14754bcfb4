/** Follows one partition of the file: reads on, and when there is nothing, waits for news. */
import type { Clock } from '@countersign/kernel'
import type { Tail, TailHandler } from '../port.ts'
import type { PartitionId } from './protocol.ts'
import type { Reader } from './reader.ts'
import type { Thread, Watcher } from './thread.ts'

/** An idle tail asks at least this often, so that silence and `lastHeardAt` mean something. */
const IDLE_MS = 250
const RETRY_MS = 100

export class SqliteTail implements Tail, Watcher {
  readonly #thread: Thread
  readonly #reader: Reader
  readonly #clock: Clock
  readonly #handler: TailHandler
  readonly #done: Promise<void>
  #partition: PartitionId | null = null
  #wanted: number
  /** Raised by every seek: an answer to an older question is dropped. */
  #generation = 0
  #paused = false
  #stopped = false
  #news = false
  #wake: (() => void) | null = null
  #heardAt: number

  constructor(thread: Thread, reader: Reader, clock: Clock, from: number, handler: TailHandler) {
    this.#thread = thread
    this.#reader = reader
    this.#clock = clock
    this.#wanted = from
    this.#handler = handler
    this.#heardAt = clock.monotonic()
    thread.watch(this)
    this.#done = this.#run()
  }

  get position(): number {
    return this.#wanted
  }

  get lastHeardAt(): number {
    return this.#heardAt
  }

  seek(offset: number): void {
    this.#wanted = offset
    this.#generation++
    this.#paused = false
    this.#rouse()
  }

  async restart(): Promise<void> {
    if (!this.#paused) this.seek(this.#wanted)
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#generation++
    this.#thread.unwatch(this)
    this.#rouse()
    await this.#done
  }

  partitionsChanged(ids: readonly PartitionId[]): void {
    if (this.#partition === null || ids.includes(this.#partition)) this.#rouse()
  }

  #rouse(): void {
    this.#news = true
    this.#wake?.()
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      this.#news = false
      if (this.#paused) {
        await this.#wait(IDLE_MS)
        continue
      }
      try {
        await this.#step()
      } catch {
        this.#partition = null
        await this.#wait(RETRY_MS)
      }
    }
  }

  async #step(): Promise<void> {
    const generation = this.#generation
    const from = this.#wanted
    const chunk = await this.#reader.chunk(from)
    if (generation !== this.#generation) return
    this.#partition = chunk.id
    this.#heardAt = this.#clock.monotonic()
    if (from < chunk.start || from > chunk.end) {
      this.#paused = true
      this.#handler.outOfRange({ start: chunk.start, end: chunk.end })
    } else if (chunk.records.length === 0) {
      await this.#wait(IDLE_MS)
    } else {
      // Before the handler, which may seek.
      this.#wanted = chunk.records.at(-1)!.offset + 1
      await this.#handler.records(chunk.records)
    }
  }

  #wait(ms: number): Promise<void> {
    if (this.#news || this.#stopped) return Promise.resolve()
    return new Promise((resolve) => {
      const cancel = this.#clock.after(ms, () => this.#wake?.())
      this.#wake = () => {
        this.#wake = null
        cancel()
        resolve()
      }
    })
  }
}
