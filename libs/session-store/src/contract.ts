/** What every adapter of the session store promises; run it with vitest against a fresh store per test. */
import { afterEach, describe } from 'vitest'
import { clientCases } from './contract/client-cases.ts'
import { credentialCases } from './contract/credential-cases.ts'
import { endingCases } from './contract/ending-cases.ts'
import { factorCases } from './contract/factor-cases.ts'
import { familyCases } from './contract/family-cases.ts'
import { type Seeded, type StoreUnderTest, seed } from './contract/fixture.ts'
import { forgettingCases } from './contract/forgetting-cases.ts'
import { layoutCases } from './contract/layout-cases.ts'
import { listCases } from './contract/list-cases.ts'
import { logCases } from './contract/log-cases.ts'
import { outboxCases } from './contract/outbox-cases.ts'
import { recordCases } from './contract/record-cases.ts'
import { sessionCases } from './contract/session-cases.ts'

export type { StoreUnderTest } from './contract/fixture.ts'

export interface SessionStoreContractOptions {
  readonly name: string
  /** Makes an empty store. */
  readonly create: () => Promise<StoreUnderTest>
}

/** Registers the suite for one adapter. */
export function sessionStoreContract({ name, create }: SessionStoreContractOptions): void {
  describe(`session store: ${name}`, () => {
    const cleanups: (() => Promise<void>)[] = []
    afterEach(async () => {
      for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
    })
    const seeded = async (): Promise<Seeded> => seed(await create(), cleanups)
    recordCases(seeded)
    layoutCases(seeded)
    sessionCases(seeded)
    familyCases(seeded)
    factorCases(seeded)
    clientCases(seeded)
    credentialCases(seeded)
    endingCases(seeded)
    listCases(seeded)
    outboxCases(seeded)
    logCases(seeded)
    forgettingCases(seeded)
  })
}
