/** The Kafka this test run may use, chosen once before the first test by `test/runner/brokers.setup.ts`. */

import { inject } from 'vitest'

/** Addresses of one running Kafka with its registry and Redis; all on this machine or given by address. */
export interface Brokers {
  readonly brokers: string[]
  /** Base URL of the Confluent-compatible API, with its path. */
  readonly registryUrl: string
  readonly redisUrl: string
}

declare module 'vitest' {
  interface ProvidedContext {
    kafka: Brokers | null
  }
}

/**
 * The Kafka of this run, the same for every test file, so topics and groups need names of their own.
 *
 * @returns null when there is none; tests that need one are then skipped. `REQUIRE_KAFKA=1` makes that impossible.
 * @example describe.skipIf(kafka() === null)('on Kafka', () => { const { brokers } = kafka()! … })
 */
export function kafka(): Brokers | null {
  return inject('kafka')
}
