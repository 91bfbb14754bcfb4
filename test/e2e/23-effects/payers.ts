/** Starts payers, and reads what stands in their bank and in their decisions. */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { openSqliteLog } from '@countersign/event-log/sqlite'
import { type DecisionBatch, exampleCatalogue, readDecisions } from '@countersign/schemas'
import { type Site, until } from '../site.ts'

export interface PayerOptions {
  readonly mode: 'plain' | 'told' | 'blocked' | 'killed' | 'fenced' | 'unfenced'
  readonly logPath: string
  readonly rootKey: string
  readonly bank: string
  readonly history: string
  /** From 1: how often it has been started. */
  readonly life: number
}

/** What a payer tells its parent. */
export interface Told {
  readonly did: 'ready' | 'began' | 'permitted' | 'committed' | 'refused'
  readonly event?: string
  readonly notAfter?: number
  readonly why?: string
}

const execArgv = ['--conditions=@countersign/source', '--disable-warning=ExperimentalWarning']

export class Payer {
  readonly told: Told[] = []
  readonly #site: Site
  readonly #mode: PayerOptions['mode']
  readonly #name: string
  #child: ChildProcess | null = null
  #lives = 0

  constructor(site: Site, mode: PayerOptions['mode']) {
    this.#site = site
    this.#mode = mode
    this.#name = `payer-${mode}`
  }

  async start(): Promise<this> {
    const { logPath, rootKey } = this.#site
    this.#lives++
    const options: PayerOptions = {
      ...{ mode: this.#mode, logPath, rootKey, life: this.#lives },
      ...{ bank: this.#bank, history: this.#history },
    }
    const child = fork(join(import.meta.dirname, 'payer.ts'), [JSON.stringify(options)], { execArgv })
    child.on('message', (told) => void this.told.push(told as Told))
    this.#child = child
    const began = this.told.length
    await this.does('ready', began)
    return this
  }

  /** Waits until it has told so. @param from of what it has told. */
  async does(did: Told['did'], from = 0): Promise<Told> {
    let found: Told | undefined
    await until(`${this.#name}: ${did}`, () => {
      found = this.told.slice(from).find((told) => told.did === did)
      return found !== undefined
    })
    return found as Told
  }

  go(): void {
    this.#child?.send('go')
  }

  signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.#child?.kill(signal)
  }

  async kill(signal: 'SIGKILL' | 'SIGTERM' = 'SIGTERM'): Promise<void> {
    const child = this.#child
    this.#child = null
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    const ended = once(child, 'exit')
    child.kill(signal)
    if (signal === 'SIGTERM') child.kill('SIGCONT')
    await ended
  }

  /** Events paid, in order. */
  paid(): string[] {
    const bank = new DatabaseSync(this.#bank, { readOnly: true })
    try {
      return bank
        .prepare('SELECT event FROM paid ORDER BY event')
        .all()
        .map(({ event }) => String(event))
    } finally {
      bank.close()
    }
  }

  history(type: string): Record<string, unknown>[] {
    if (!existsSync(this.#history)) return []
    const lines = readFileSync(this.#history, 'utf8').split('\n').filter(Boolean)
    return lines.map((line) => JSON.parse(line) as Record<string, unknown>).filter((event) => event.type === type)
  }

  get #bank(): string {
    return join(this.#site.folder, `${this.#name}.db`)
  }

  get #history(): string {
    return join(this.#site.folder, `${this.#name}.jsonl`)
  }
}

/** Decisions of payers on the log of a site. */
export async function decisionsOf(site: Site): Promise<DecisionBatch[]> {
  const log = await openSqliteLog({ path: site.logPath, catalogue: exampleCatalogue, create: false })
  const found: DecisionBatch[] = []
  try {
    const { name = '', partitions = 0 } = exampleCatalogue.entries.find(({ role }) => role === 'decisions') ?? {}
    for (let partition = 0; partition < partitions; partition++) {
      const { start, end } = await log.bounds(name, partition)
      for await (const records of log.read({ topic: name, partition, from: start, to: end })) {
        for (const { value } of records) {
          const batch = readDecisions(value, log.schemas)
          if (batch?.job_class === 'pay') found.push(batch)
        }
      }
    }
    return found
  } finally {
    await log.close()
  }
}
