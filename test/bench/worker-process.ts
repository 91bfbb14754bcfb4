/** A process of the bench that answers one question after the other over IPC. */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

export class WorkerProcess {
  readonly #child: ChildProcess

  /** @param module path beside this file. */
  constructor(module: string, execArgv: readonly string[] = []) {
    this.#child = fork(fileURLToPath(new URL(module, import.meta.url)), {
      execArgv: ['--conditions=@countersign/source', '--disable-warning=ExperimentalWarning', ...execArgv],
      env: { PATH: process.env.PATH ?? '', NODE_ENV: 'production' },
      serialization: 'advanced',
    })
  }

  get pid(): number | undefined {
    return this.#child.pid
  }

  /** @returns the next message. @throws when the process ends first. */
  async next<T>(): Promise<T> {
    const over = new AbortController()
    const { signal } = over
    const ended = once(this.#child, 'exit', { signal }).then(([code]) => {
      throw new Error(`a process of the bench ended with ${code}`)
    })
    try {
      const [message] = (await Promise.race([once(this.#child, 'message', { signal }), ended])) as [T]
      return message
    } finally {
      ended.catch(() => {})
      over.abort()
    }
  }

  ask<T>(question: object): Promise<T> {
    const answer = this.next<T>()
    this.#child.send(question)
    return answer
  }

  /** SIGTERM, and waits. Lets a CPU profile be written. */
  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const gone = once(this.#child, 'exit')
    if (this.#child.connected) this.#child.disconnect()
    await gone
  }
}
