/**
 * What stays open after its request was judged: held here while it lasts, and ended with the authority it was opened
 * with, or when this gateway drains.
 */
import type { Boundary, BoundaryIdentity, Denial } from '@countersign/boundary'
import type { Logger, Metrics } from '@countersign/telemetry'

export type StreamKind = 'websocket' | 'event_stream' | 'body'

/** Why one is ended by the gateway. */
export type Ending = Denial | 'draining'

/** On whose authority something is open. */
export interface Authority {
  readonly boundary: Pick<Boundary, 'watch'>
  readonly identity: BoundaryIdentity
  /** What the route demands; without one of these it is not open any more. */
  readonly scopes: readonly string[]
}

/** Names of what is open, for logs and metrics. */
export interface StreamName {
  readonly kind: StreamKind
  readonly route: string
  readonly requestId: string
}

interface Held {
  readonly name: StreamName
  readonly end: (ending: Ending) => void
  unwatch: () => void
}

export class OpenConnections {
  readonly #logger: Logger
  readonly #metrics: Metrics
  readonly #held = new Set<Held>()
  #draining = false

  constructor({ logger, metrics }: { readonly logger: Logger; readonly metrics: Metrics }) {
    this.#logger = logger
    this.#metrics = metrics
    for (const kind of ['websocket', 'event_stream', 'body'] as const) {
      metrics.gaugeFrom('countersign_gateway_open_connections', { kind }, () => this.count(kind))
    }
  }

  /** Cost: one pass over all that is open. */
  count(kind: StreamKind): number {
    let count = 0
    for (const { name } of this.#held) if (name.kind === kind) count++
    return count
  }

  /**
   * @param authority null on a route that judges nobody.
   * @param end called at most once, never before this returns, never after it was let go.
   * @returns a function that lets it go, when it ended by itself.
   */
  hold(name: StreamName, authority: Authority | null, end: (ending: Ending) => void): () => void {
    const held: Held = { name, end, unwatch: () => {} }
    this.#held.add(held)
    if (authority) {
      const { boundary, identity, scopes } = authority
      held.unwatch = boundary.watch(identity, (denial) => this.#end(held, denial, identity), { scopes })
    }
    // A drain that began while this one was on its way to be opened has not seen it.
    if (this.#draining) queueMicrotask(() => this.#end(held, 'draining'))
    return () => this.#letGo(held)
  }

  /** Ends all, and whatever is opened from now on. */
  drain(): void {
    this.#draining = true
    for (const held of [...this.#held]) this.#end(held, 'draining')
  }

  #letGo(held: Held): boolean {
    held.unwatch()
    return this.#held.delete(held)
  }

  #end(held: Held, ending: Ending, identity?: BoundaryIdentity): void {
    if (!this.#letGo(held)) return
    const { kind, route, requestId } = held.name
    const code = ending === 'draining' ? ending : ending.code
    this.#metrics.counter('countersign_gateway_connections_ended_total', { kind, code }).add()
    if (ending !== 'draining') {
      const { sub, tenant, session } = identity ?? {}
      this.#logger.info({ kind, route, requestId, code, tenant, sub, session }, 'open connection ended')
    }
    held.end(ending)
  }
}
