/**
 * The contract suite of the EventLog port: what every adapter must show, as cases for any test runner.
 *
 * @example for (const c of eventLogContract(harness)) (c.gap ? it.skip : it)(c.name, c.run)
 */
import { appendCases } from './contract/append-cases.ts'
import { jobCases } from './contract/job-cases.ts'
import { Probe } from './contract/probe.ts'
import { processCases } from './contract/process-cases.ts'
import { tailCases } from './contract/tail-cases.ts'
import type { EventLog } from './port.ts'

/** What the suite needs of an adapter under test. */
export interface ContractHarness {
  /** Another client of the same log. The suite closes it. */
  open(): Promise<EventLog>
  /** A name no topic has yet. Default: `contract-` and a random part. */
  topicName?(): string
  /** Removes everything below `before`, as retention does. */
  cut(topic: string, partition: number, before: number): Promise<void>
  /** A group member in a process of its own. */
  startMember(options: { group: string; topic: string; sessionTimeoutMs: number }): Promise<MemberProcess>
  /** Appends `count` records with values `<prefix>0` … in order to partition 0 from a process of its own. */
  appendElsewhere(options: { topic: string; prefix: string; count: number }): Promise<void>
  /** Appends one record after another to partition 0 from a process of its own, until it is killed. */
  startAppender(options: { topic: string; prefix: string }): Promise<AppenderProcess>
  /** Case names this adapter cannot pass, each with its reason. An unknown name is an error. */
  gaps?: Readonly<Record<string, string>>
}

/** A group member in another process. */
export interface MemberProcess {
  /** `partition:value` of every message handled so far. */
  readonly handled: readonly string[]
  /** Ends the process without any warning. */
  kill(): void
  /** Lets the member leave in order; resolves when it has. */
  stop(): Promise<void>
}

/** An appender in another process. */
export interface AppenderProcess {
  /** Values whose append was acknowledged. */
  readonly acknowledged: readonly string[]
  /** Ends the process without any warning; resolves when it has ended and all it said was read. */
  kill(): Promise<void>
}

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
