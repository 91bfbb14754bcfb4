/** The routes of one configuration. */
import { type Route, readRoutes } from './route.ts'

const SOMEWHERE = 'http://127.0.0.1'

export class Routes {
  readonly #json: string
  readonly #names: readonly string[]

  private constructor(json: string, routes: readonly Route[]) {
    this.#json = json
    this.#names = routes.map(({ name }) => name)
  }

  /** @returns the routes, or one line for each thing that is wrong, naming route and field. */
  static read(json: string): Routes | { readonly faults: readonly string[] } {
    const read = readRoutes(json, SOMEWHERE)
    return 'faults' in read ? read : new Routes(json, read.routes)
  }

  /** @param identityUrl where routes with `"access": "identity"` lead. */
  leadingTo(identityUrl: string): readonly Route[] {
    const read = readRoutes(this.#json, identityUrl)
    return 'routes' in read ? read.routes : []
  }

  /** For people who check a configuration. */
  toString(): string {
    return this.#names.join(',')
  }
}
