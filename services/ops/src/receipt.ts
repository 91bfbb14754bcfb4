/** `receipt`: who applied a revocation when, and until when the others could act; waits until it closes. */

import type { EventLog, LogRecord, Tail } from '@countersign/event-log'
import {
  gatherReceipts,
  logSource,
  type Receipt,
  type ReceiptConsumer,
  type ReceiptState,
  Receipts,
} from '@countersign/evidence'
import { type Clock, rfc3339 } from '@countersign/kernel'
import type { Catalogue } from '@countersign/schemas'
import { catalogueOf, durationOf, type LogOptions, openPlace, placeOf, rootKeysOf } from './connection.ts'
import { OpsError, wrongArgument } from './errors.ts'
import { EXIT, type ExitCode } from './exit-codes.ts'
import { oneLine, print, type Terminal } from './terminal.ts'

export interface ReceiptOptions extends LogOptions {
  rootKey?: string[]
  rootKeyFile?: string[]
  timeout: string
  now?: boolean
}

const UUID = /^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$/i
const LOOK_MS = 100
const ASK_AGAIN_MS = 500

/**
 * Tells each change while the receipt is open, then prints it.
 * @returns `pending` when it is still open at the end of its time.
 * @throws {OPS_RECEIPT_UNKNOWN} when no signal of that revocation comes to stand on a log.
 */
export async function receipt(
  id: string,
  options: ReceiptOptions,
  terminal: Terminal,
  clock: Clock,
  signal: AbortSignal,
): Promise<ExitCode> {
  if (!UUID.test(id)) throw wrongArgument(`the id is a UUID as "revoke" prints it, not ${id}`)
  const place = placeOf(options)
  const rootKeys = rootKeysOf(options)
  if (rootKeys.length === 0)
    throw wrongArgument('a receipt is worth what it proves: name --root-key or --root-key-file')
  const timeoutMs = options.now ? 0 : durationOf('--timeout', options.timeout)
  const catalogue = await catalogueOf(options)
  const log = await openPlace(place, catalogue)
  const asking = { revocation: id.toLowerCase(), rootKeys, until: clock.monotonic() + timeoutMs, signal }
  const following = new Following(log, catalogue, asking, clock)
  try {
    const found = await following.run((line) => terminal.say(line))
    if (found === null) throw unknown(id)
    report(found, options, terminal)
    return found.closedAt === null ? EXIT.pending : EXIT.ok
  } finally {
    await following.stop()
    await log.close()
  }
}

interface Asking {
  readonly revocation: string
  readonly rootKeys: readonly Buffer[]
  /** Monotonic milliseconds. */
  readonly until: number
  readonly signal: AbortSignal
}

class Following {
  readonly #log: EventLog
  readonly #catalogue: Catalogue
  readonly #asking: Asking
  readonly #clock: Clock
  #tail: Tail | null = null

  constructor(log: EventLog, catalogue: Catalogue, asking: Asking, clock: Clock) {
    this.#log = log
    this.#catalogue = catalogue
    this.#asking = asking
    this.#clock = clock
  }

  /** @returns the receipt when it has closed, or as it is when the time is over; null when there is none. */
  async run(say: (line: string) => void): Promise<Receipt | null> {
    const receipts = await this.#found()
    if (receipts === null) return null
    const states = new Map<string, ReceiptState>()
    for (;;) {
      const now = this.#of(receipts)
      for (const one of now.consumers) {
        if (states.get(one.instance + one.consumer) !== one.state && one.state !== 'pending') say(stateOf(one, now))
        states.set(one.instance + one.consumer, one.state)
      }
      if (now.closedAt !== null || this.#isOver) break
      await this.#clock.sleep(LOOK_MS, this.#asking.signal)
    }
    // What they decided until it closed.
    await gatherReceipts(this.#source, receipts, {})
    return this.#of(receipts)
  }

  async stop(): Promise<void> {
    await this.#tail?.stop()
  }

  get #isOver(): boolean {
    return this.#asking.signal.aborted || this.#clock.monotonic() >= this.#asking.until
  }

  get #source() {
    return logSource(this.#log, this.#catalogue, { clock: this.#clock })
  }

  #of(receipts: Receipts): Receipt {
    return receipts.receipt(this.#asking.revocation, this.#clock.now()) as Receipt
  }

  /** Waits until a signal of it stands on a log: it may be on its way. */
  async #found(): Promise<Receipts | null> {
    const { revocation, rootKeys } = this.#asking
    const topic = this.#catalogue.entries.find(({ role }) => role === 'progress')?.name as string
    for (;;) {
      const receipts = new Receipts({ schemas: this.#log.schemas, rootKeys, revocation })
      const { end } = await this.#log.bounds(topic)
      if (await gatherReceipts(this.#source, receipts, {})) {
        this.#tail = await this.#follow(topic, end, receipts)
        return receipts
      }
      if (this.#isOver) return null
      await this.#clock.sleep(ASK_AGAIN_MS, this.#asking.signal)
    }
  }

  #follow(topic: string, from: number, receipts: Receipts): Promise<Tail> {
    const take = (record: LogRecord): void => {
      const { partition, offset, timestamp: at } = record
      receipts.take({ kind: 'progress', place: { topic, partition, offset, at }, record })
    }
    const handler = { records: (batch: readonly LogRecord[]) => batch.forEach(take), outOfRange: () => {} }
    return this.#log.tail({ topic, from, handler })
  }
}

const HEAD = [
  'Consumer',
  'State',
  'Applied',
  'Could act until',
  'Last decision without it',
  'Last effect',
  'Vouched by',
]

function report(receipt: Receipt, { output }: ReceiptOptions, terminal: Terminal): void {
  if (output === 'json') {
    print(terminal, 'json', { json: withTimes(receipt), head: [], rows: [] })
    return
  }
  const rows = receipt.consumers.map((one) => [
    one.consumer,
    one.state,
    one.appliedAt === null ? '' : `${one.exact ? '' : 'by '}${time(one.appliedAt)}`,
    time(one.couldActUntil),
    time(one.lastDecisionAt),
    time(one.lastEffectAt),
    one.vouchedBy ?? 'nobody',
  ])
  print(terminal, 'table', { json: null, head: HEAD, rows })
  terminal.out(oneLine(receipt.line))
}

function stateOf({ consumer, state, appliedAt, stoppedAt, couldActUntil }: ReceiptConsumer, { appendedAt }: Receipt) {
  if (state === 'silent') return `${consumer} silent: could act until ${time(couldActUntil)}`
  return `${consumer} ${state} after ${Math.max(0, (appliedAt ?? stoppedAt ?? 0) - appendedAt)} ms`
}

const TIMES: ReadonlySet<string> = new Set([
  ...['appendedAt', 'appliedAt', 'stoppedAt', 'couldActUntil', 'lastDecisionAt', 'lastEffectAt', 'closedAt', 'asOf'],
])

/** The same with times as RFC 3339 has them. */
function withTimes(receipt: Receipt): unknown {
  const text = JSON.stringify(receipt, (key, value) => {
    return TIMES.has(key) && typeof value === 'number' ? time(value) : value
  })
  return JSON.parse(text)
}

function time(at: number | null): string {
  return at === null ? '' : rfc3339(at)
}

function unknown(id: string): OpsError {
  const publicMessage = `no signal of revocation ${id} is on the log: it may have taken nothing, or be older than the topic keeps`
  return new OpsError({ code: 'OPS_RECEIPT_UNKNOWN', retriable: false, publicMessage })
}
