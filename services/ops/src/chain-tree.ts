/**
 * Chains of exchanges out of journey events: which token came of which, for whom, by whose doing, and what ended it. Pure:
 * events in, in order of time as far as it is known; what the journey does not tell is null.
 */
import type { JourneyEvent, SignalTarget } from '@countersign/schemas'

/** What ended a token, the first that did. */
export interface Ending {
  readonly at: number
  readonly cause: string | null
  readonly actor: string
  readonly target: SignalTarget
  readonly revocation: string | null
  /** `acknowledged`, `pending` or `unknown`. */
  readonly outcome: string
}

/** Somebody was not given what they asked for with a token of the chain. */
export interface Refusal {
  readonly at: number
  readonly actor: string
  readonly action: string
  readonly outcome: string
  readonly route: string | null
}

export interface ChainNode {
  readonly token: string
  /** `sealed`: a boundary made it, of which the journey has no event. */
  readonly by: 'issuance' | 'refresh' | 'exchange' | 'sealed'
  readonly at: number | null
  readonly actor: string | null
  readonly audience: readonly string[]
  readonly scopes: readonly string[]
  readonly ended: Ending | null
  readonly refused: readonly Refusal[]
  /** Oldest first. */
  readonly came: readonly ChainNode[]
}

export interface Chain {
  readonly sub: string | null
  readonly tenant: string | null
  readonly session: string | null
  readonly family: string | null
  readonly device: string | null
  readonly transactions: readonly string[]
  readonly root: ChainNode
}

const MAKING: ReadonlySet<string> = new Set(['issuance', 'refresh', 'exchange'])
const HAPPENED: ReadonlySet<string> = new Set(['acknowledged', 'pending', 'unknown'])

/** First reading: with which tokens the chains began that a handle is part of. */
export class Origins {
  readonly #handle: string
  readonly found: Set<string> = new Set()

  /** @param handle of a token, session, family or transaction. */
  constructor(handle: string) {
    this.#handle = handle
  }

  take({ token, parent, origin, session, family, txn, lineage }: JourneyEvent): void {
    if (![token, parent, origin, session, family, txn, ...lineage].includes(this.#handle)) return
    const began = origin ?? token
    if (began !== null) this.found.add(began)
  }
}

/** Second reading: what belongs to those chains, and everything that ended something. */
export class ChainEvents {
  readonly #origins: ReadonlySet<string>
  readonly #made = new Map<string, JourneyEvent>()
  /** By event id: events come at least once. */
  readonly #refused = new Map<string, JourneyEvent>()
  readonly #endings: Ending[] = []

  constructor(origins: ReadonlySet<string>) {
    this.#origins = origins
  }

  take(event: JourneyEvent): void {
    const { id, at, action, actor, token, origin, parent, target, effect, cause, revocation, outcome } = event
    if (action === 'revocation' || action === 'logout') {
      // What takes a scope ends nothing.
      if (target !== null && HAPPENED.has(outcome) && !(effect?.startsWith('scope:') ?? false))
        this.#endings.push({ at, cause, actor, target, revocation, outcome })
      return
    }
    if (!this.#origins.has(origin ?? token ?? '')) return
    if (MAKING.has(action) && token !== null) {
      if (!this.#made.has(token)) this.#made.set(token, event)
    } else if (parent !== null || token !== null) {
      this.#refused.set(Buffer.from(id).toString('hex'), event)
    }
  }

  /** @returns one for each origin, oldest first. */
  chains(): Chain[] {
    const all = [...this.#origins].map((origin) => this.#chain(origin))
    return all.sort((one, other) => beganAt(one.root) - beganAt(other.root))
  }

  #chain(origin: string): Chain {
    const made = [...this.#made.values()].filter((event) => (event.origin ?? event.token) === origin)
    const refused = [...this.#refused.values()].filter((event) => (event.origin ?? event.token) === origin)
    const all = [...made, ...refused]
    const first = (name: 'sub' | 'tenant' | 'session' | 'family' | 'device'): string | null =>
      all.find((event) => event[name] !== null)?.[name] ?? null
    const about = {
      sub: first('sub'),
      tenant: first('tenant'),
      session: first('session'),
      family: first('family'),
      device: first('device'),
      transactions: [...new Set(all.flatMap(({ txn }) => txn ?? []))],
    }
    const came = Map.groupBy(this.#parents(origin, all), ([, parent]) => parent)
    const childrenOf = (token: string): string[] => (came.get(token) ?? []).map(([child]) => child)
    const refusedWith = (token: string): JourneyEvent[] => refused.filter((one) => (one.parent ?? one.token) === token)
    /** What is told of a token: how it was made, or of one that was sealed all that came of it. */
    const told = (token: string): JourneyEvent[] => {
      const event = this.#made.get(token)
      return event ? [event] : [...refusedWith(token), ...childrenOf(token).flatMap(told)]
    }
    const grow = (token: string, above: ReadonlySet<string>): ChainNode => {
      const event = this.#made.get(token)
      const events = told(token)
      const names = new Set([...above, name('token', '', token)])
      if (event?.client) names.add(name('client', '', event.client))
      for (const { txn } of events) if (txn !== null) names.add(name('transaction', '', txn))
      const children = childrenOf(token).map((child) => grow(child, names))
      return {
        token,
        by: (event?.action as ChainNode['by'] | undefined) ?? 'sealed',
        at: event?.at ?? null,
        actor: event?.actor ?? null,
        audience: event?.audience ?? [],
        scopes: event?.scopes ?? [],
        ended: this.#endingOf(names, Math.min(...events.map(({ at }) => at))),
        refused: refusedWith(token).map(({ at, actor, action, outcome, route }) => ({
          at,
          actor,
          action,
          outcome,
          route,
        })),
        came: children.sort((one, other) => beganAt(one) - beganAt(other)),
      }
    }
    return { ...about, root: grow(origin, namesOf(about)) }
  }

  /** Which token each came of. What a boundary sealed came of the token before it in the lineage of what came of it. */
  #parents(origin: string, events: readonly JourneyEvent[]): ReadonlyMap<string, string> {
    const parents = new Map<string, string>()
    for (const { action, token, parent, lineage } of events) {
      if (MAKING.has(action) && token !== null && token !== origin) parents.set(token, parent ?? origin)
      let next = parent
      // Tokens of those who acted stand between: they are nobody's parent.
      for (let i = lineage.length - 1; i >= 0 && next !== null; i--) {
        if (lineage[i] !== next) continue
        const before: string | null = this.#made.get(next)?.parent ?? lineage[i - 1] ?? null
        if (next !== origin) parents.set(next, before ?? origin)
        next = before
      }
      // Of what is not told it came of, it came of the first.
      const shown = parent ?? token
      if (shown !== null && shown !== origin && !parents.has(shown)) parents.set(shown, origin)
    }
    return parents
  }

  #endingOf(names: ReadonlySet<string>, since: number): Ending | null {
    const hits = this.#endings.filter(
      ({ at, target: { kind, tenant, id } }) => at >= since && names.has(name(kind, tenant, id)),
    )
    return hits.sort((one, other) => one.at - other.at)[0] ?? null
  }
}

/** When a token was made, or the first that came of it. */
function beganAt({ at, came }: ChainNode): number {
  return at ?? Math.min(Number.MAX_SAFE_INTEGER, ...came.map(beganAt))
}

/** Names of what all of a chain depends on. */
function namesOf({ sub, tenant, session, family, device }: Omit<Chain, 'root' | 'transactions'>): ReadonlySet<string> {
  const names = new Set<string>()
  if (sub !== null) names.add(name('subject', '', sub))
  if (tenant !== null) names.add(name('tenant', tenant, ''))
  if (sub !== null && tenant !== null) names.add(name('affiliation', tenant, sub))
  for (const [kind, id] of Object.entries({ session, family, device })) if (id !== null) names.add(name(kind, '', id))
  return names
}

function name(kind: string, tenant: string, id: string): string {
  return JSON.stringify([kind, tenant, id])
}
