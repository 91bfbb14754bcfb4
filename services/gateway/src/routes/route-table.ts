/**
 * Finds the route of a path, as it came. An exact path beats what is below a prefix, a longer prefix a shorter one; the
 * path alone decides, so that no method leads past the route that owns it.
 */
import type { Method, Route } from './route.ts'

export type Match =
  | { readonly ok: true; readonly route: Route }
  | { readonly ok: false; readonly code: 'route_unknown' }
  | { readonly ok: false; readonly code: 'path_ambiguous' }
  | { readonly ok: false; readonly code: 'method_not_allowed'; readonly allow: string }

/** Routes of one path, by method. */
interface Place {
  readonly routes: Map<string, Route>
  allow: string
}

const UNKNOWN: Match = { ok: false, code: 'route_unknown' }
const AMBIGUOUS: Match = { ok: false, code: 'path_ambiguous' }

export class RouteTable {
  readonly #strict = new Places()
  /** Of paths in lower case, without a slash at the end: as a lenient upstream may read them. */
  readonly #lenient = new Places()

  constructor(routes: readonly Route[]) {
    for (const route of routes) {
      const place = this.#strict.at(route.path)
      for (const method of route.methods) place.routes.set(method, route)
      place.allow = [...place.routes.keys()].join(', ')
      this.#lenient.set(route.path.toLowerCase(), place)
    }
    // After all that were written: `/admin/` and `/admin/*` are `/admin` too, unless that is a route itself.
    for (const { path } of routes) {
      const bare = path.toLowerCase().replace(/\/\*?$/, '')
      if (bare !== '') this.#lenient.set(bare, this.#strict.at(path))
    }
  }

  /** @param path one that `targetFault` has passed. */
  find(path: string, method: Method | string): Match {
    const place = this.#strict.exact(path) ?? this.#prefix(path)
    if (place === undefined) return UNKNOWN
    if (place === 'ambiguous') return AMBIGUOUS
    const route = place.routes.get(method)
    return route ? { ok: true, route } : { ok: false, code: 'method_not_allowed', allow: place.allow }
  }

  /** A path that would find another route in another case or without its last slash is nobody's: an upstream may not care. */
  #prefix(path: string): Place | 'ambiguous' | undefined {
    const place = this.#strict.below(path)
    const lower = path.toLowerCase()
    const bare = lower.length > 1 && lower.endsWith('/') ? lower.slice(0, -1) : lower
    const other = this.#lenient.exact(bare) ?? this.#lenient.below(lower)
    return place === undefined || other === undefined || place === other ? place : 'ambiguous'
  }
}

class Places {
  readonly #exact = new Map<string, Place>()
  /** By prefix, with its slash. */
  readonly #below = new Map<string, Place>()
  #longest = 0

  at(path: string): Place {
    const place = this.#of(path).get(keyOf(path)) ?? { routes: new Map(), allow: '' }
    this.set(path, place)
    return place
  }

  /** The first to name a path keeps it. */
  set(path: string, place: Place): void {
    const map = this.#of(path)
    const key = keyOf(path)
    if (!map.has(key)) map.set(key, place)
    if (map === this.#below) this.#longest = Math.max(this.#longest, key.length)
  }

  exact(path: string): Place | undefined {
    return this.#exact.get(path)
  }

  below(path: string): Place | undefined {
    for (let at = path.lastIndexOf('/', this.#longest - 1); at >= 0; at = path.lastIndexOf('/', at - 1)) {
      const place = this.#below.get(path.slice(0, at + 1))
      if (place || at === 0) return place
    }
    return undefined
  }

  #of(path: string): Map<string, Place> {
    return path.endsWith('/*') ? this.#below : this.#exact
  }
}

function keyOf(path: string): string {
  return path.endsWith('/*') ? path.slice(0, -1) : path
}
