/** The owner's end of the worker thread: calls, faults as EventLogErrors, and news of changes. */
import { Worker } from 'node:worker_threads'
import { EventLogError } from '../errors.ts'
import type {
  Changed,
  FaultKind,
  OperationName,
  Operations,
  PartitionId,
  Reply,
  Request,
  WorkerInput,
} from './protocol.ts'

type Message = Reply | Changed

interface Call {
  name: OperationName
  resolve(result: unknown): void
  reject(error: EventLogError): void
}

/** Something that waits for news. */
export interface Watcher {
  partitionsChanged?(ids: readonly PartitionId[]): void
  groupsChanged?(names: readonly string[]): void
}

export class Thread {
  readonly #worker: Worker
  readonly #calls = new Map<number, Call>()
  readonly #watchers = new Set<Watcher>()
  #next = 0
  #closed: EventLogError | null = null

  constructor(input: WorkerInput) {
    const entry = import.meta.url.endsWith('.ts') ? './worker.ts' : './worker.js'
    this.#worker = new Worker(new URL(entry, import.meta.url), { workerData: input, name: 'event-log' })
    this.#worker.on('message', (message: Message) => this.#hear(message))
    this.#worker.on('error', (error) => this.#end(error))
    this.#worker.on('exit', () => this.#end(null))
    this.#worker.unref()
  }

  call<N extends OperationName>(
    name: N,
    input: Operations[N]['in'],
    transfer?: ArrayBuffer,
  ): Promise<Operations[N]['out']> {
    if (this.#closed) return Promise.reject(this.#closed)
    const id = this.#next++
    return new Promise<unknown>((resolve, reject) => {
      this.#calls.set(id, { name, resolve, reject })
      this.#settleRef()
      this.#worker.postMessage({ id, name, input } as Request, transfer ? [transfer] : [])
    }) as Promise<Operations[N]['out']>
  }

  watch(watcher: Watcher): void {
    this.#watchers.add(watcher)
    this.#settleRef()
    if (this.#watchers.size === 1) this.call('watch', { on: true }).catch(() => {})
  }

  unwatch(watcher: Watcher): void {
    this.#watchers.delete(watcher)
    this.#settleRef()
    if (this.#watchers.size > 0) return
    this.call('watch', { on: false }).catch(() => {})
  }

  async close(): Promise<void> {
    if (this.#closed) return
    const done = this.call('close', null)
    this.#closed = closedError(null)
    await done.catch(() => {})
    await this.#worker.terminate()
  }

  /** Keeps the process alive while somebody waits for an answer, tails or consumes, and no longer. */
  #settleRef(): void {
    if (this.#calls.size + this.#watchers.size > 0) this.#worker.ref()
    else this.#worker.unref()
  }

  #hear(message: Message): void {
    if ('changed' in message) {
      const { partitions, groups } = message.changed
      for (const watcher of this.#watchers) {
        if (partitions.length > 0) watcher.partitionsChanged?.(partitions)
        if (groups.length > 0) watcher.groupsChanged?.(groups)
      }
      return
    }
    const call = this.#calls.get(message.id)
    if (call === undefined) return
    this.#calls.delete(message.id)
    this.#settleRef()
    if ('fault' in message) call.reject(errorOf(message.fault, message.message))
    else call.resolve(message.result)
  }

  /** The thread is gone: what was under way may have been committed, what comes is refused. */
  #end(cause: unknown): void {
    this.#closed ??= closedError(cause)
    for (const { name, resolve, reject } of this.#calls.values()) {
      if (name === 'close') resolve(null)
      else reject(errorOf('unknown', cause === null ? 'the log was closed' : String(cause)))
    }
    this.#calls.clear()
  }
}

function closedError(cause: unknown): EventLogError {
  return new EventLogError({
    code: 'EVENT_LOG_CLOSED',
    retriable: false,
    publicMessage: 'the event log is closed',
    cause: cause ?? undefined,
  })
}

function errorOf(fault: FaultKind, message: string): EventLogError {
  if (fault === 'topic_unknown') {
    return new EventLogError({ code: 'EVENT_LOG_TOPIC_UNKNOWN', retriable: false, publicMessage: message })
  }
  return new EventLogError({
    code: 'EVENT_LOG_UNAVAILABLE',
    retriable: true,
    publicMessage: 'the event log cannot be reached',
    detail: { reason: message },
    outcome: fault === 'unknown' ? 'unknown' : 'none',
  })
}
