/** Several logs between whom the tenants are shared, each with an opener of its own: what one has proven, no other has. */
import { Opener } from '@countersign/envelope'
import type { ByTenant } from '@countersign/replica'
import type { ConsumerView } from './consumer-view.ts'

export class LogsByTenant {
  /** The one last found to own a tenant first: what comes together is mostly of one tenant, and opens at once. */
  views: readonly ConsumerView[]
  readonly #byTenant: ByTenant<ConsumerView>
  readonly #openers: Map<ConsumerView, Opener>

  /** @param opener for the first of the logs. */
  constructor(byTenant: ByTenant<ConsumerView>, opener: Opener) {
    this.#byTenant = byTenant
    this.views = byTenant.views
    this.#openers = new Map(byTenant.views.map((view, i) => [view, i === 0 ? opener : new Opener()]))
  }

  viewOf(tenant: string): ConsumerView {
    const owner = this.#byTenant.viewOf(tenant)
    if (owner !== this.views[0]) this.views = [owner, ...this.views.filter((view) => view !== owner)]
    return owner
  }

  openerOf(view: ConsumerView): Opener {
    return this.#openers.get(view) as Opener
  }
}
