/** What the suite runs against. */
import type { EventLog } from '../port.ts'

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
