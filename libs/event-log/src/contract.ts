/**
 * The contract suite of the EventLog port: what every adapter must show, as cases for any test runner.
 *
 * @example for (const c of eventLogContract(harness)) (c.gap ? it.skip : it)(c.name, c.run)
 */
import { appendCases } from './contract/append-cases.ts'
import type { ContractHarness } from './contract/harness.ts'
import { jobCases } from './contract/job-cases.ts'
import { Probe } from './contract/probe.ts'
import { processCases } from './contract/process-cases.ts'
import { tailCases } from './contract/tail-cases.ts'

export type { AppenderProcess, ContractHarness, MemberProcess } from './contract/harness.ts'

/** One thing an adapter must show. Rejects when it does not. */
export interface ContractCase {
  readonly name: string
  readonly gap: string | undefined
  run(): Promise<void>
}

/** @returns the cases, in reading order. They share nothing and may run at the same time. */
export function eventLogContract(harness: ContractHarness): ContractCase[] {
  const cases = [...appendCases, ...tailCases, ...jobCases, ...processCases]
  for (const name of Object.keys(harness.gaps ?? {})) {
    if (!cases.some((one) => one.name === name)) throw new RangeError(`a gap is declared for an unknown case: ${name}`)
  }
  return cases.map(({ name, check }) => ({
    name,
    gap: harness.gaps?.[name],
    async run() {
      const probe = new Probe(harness)
      try {
        await check(probe)
      } finally {
        await probe.close()
      }
    },
  }))
}
