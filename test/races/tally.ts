/** What happened in a run, and what should not have. */
import { CUTS, type CuttingProxy } from './cutting-proxy.ts'

export class Tally {
  readonly #counts = new Map<string, number>()
  readonly violations: string[] = []

  count(what: string, by = 1): void {
    this.#counts.set(what, (this.#counts.get(what) ?? 0) + by)
  }

  of(what: string): number {
    return this.#counts.get(what) ?? 0
  }

  /** Records a broken promise. */
  broken(what: string): void {
    this.violations.push(what)
  }

  cuts(where: string, proxies: readonly CuttingProxy[]): void {
    for (const kind of CUTS) {
      const total = proxies.reduce((sum, proxy) => sum + proxy.cut[kind], 0)
      if (total > 0) this.count(`cuts ${where}, ${kind}`, total)
    }
  }

  figures(): Record<string, number> {
    return Object.fromEntries([...this.#counts].sort(([a], [b]) => (a < b ? -1 : 1)))
  }
}
