/** Names by which parts of one path are found: any of them leads to all. */

/** Of one path. */
export class PathNames {
  readonly correlations = new Set<string>()
  /** Trace ids, 32 hexadecimal digits. */
  readonly traces = new Set<string>()
  readonly transactions = new Set<string>()
  readonly requests = new Set<string>()

  /** @param id as a person has it: from a log line, an answer, a trace, a token. It may be any of them. Default no name. */
  constructor(id?: string) {
    if (id === undefined) return
    for (const names of [this.correlations, this.traces, this.transactions, this.requests]) names.add(id)
  }

  /** Whether something with these names is part of the path. */
  has({ correlation, trace, transaction, request }: Named): boolean {
    return (
      (correlation !== null && this.correlations.has(correlation)) ||
      (trace !== null && this.traces.has(trace)) ||
      (transaction !== null && this.transactions.has(transaction)) ||
      (request !== null && this.requests.has(request))
    )
  }

  /** Makes its names the path's. @returns whether one was new. */
  add({ correlation, trace, transaction, request }: Named): boolean {
    const before = this.size
    if (correlation !== null) this.correlations.add(correlation)
    if (trace !== null) this.traces.add(trace)
    if (transaction !== null) this.transactions.add(transaction)
    if (request !== null) this.requests.add(request)
    return this.size > before
  }

  get size(): number {
    return this.correlations.size + this.traces.size + this.transactions.size + this.requests.size
  }
}

/** Names that one thing carries; null for those it has not. */
export interface Named {
  readonly correlation: string | null
  readonly trace: string | null
  readonly transaction: string | null
  readonly request: string | null
}
