/** What was begun on a log and must stop before it closes. */
interface Stoppable {
  stop(): Promise<void>
}

export class Running {
  readonly #all = new Set<Stoppable>()

  /** Stopped with the others; forgotten when stopped before. */
  keep<T extends Stoppable>(one: T): T {
    const stop = one.stop.bind(one)
    one.stop = () => {
      this.#all.delete(one)
      return stop()
    }
    this.#all.add(one)
    return one
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#all].map((one) => one.stop()))
  }
}
