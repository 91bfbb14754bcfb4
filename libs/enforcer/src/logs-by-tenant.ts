/** Several logs between whom the tenants are shared, each with an opener of its own: what one has proven, no other has. */
import { Opener } from '@countersign/envelope'
import type { ByTenant } from '@countersign/replica'
import type { ConsumerView } from './consumer-view.ts'

export class LogsByTenant {
  readonly views: readonly ConsumerView[]
  readonly #byTenant: ByTenant<ConsumerView>
  readonly #openers: Map<ConsumerView, Opener>

  /** @param opener for the first of the logs. */
  constructor(byTenant: ByTenant<ConsumerView>, opener: Opener) {
    this.#byTenant = byTenant
    this.views = byTenant.views
    this.#openers = new Map(byTenant.views.map((view, i) => [view, i === 0 ? opener : new Opener()]))
  }

  viewOf(tenant: string): ConsumerView {
    return this.#byTenant.viewOf(tenant)
  }

  openerOf(view: ConsumerView): Opener {
    return this.#openers.get(view) as Opener
  }
}
