/**
 * Receipts of the day. At its end, one more revocation with one worker killed and one stopped by SIGSTOP, waited for until its
 * receipt closes; then every receipt of the day is held against what the workers wrote down.
 */
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { EventLog } from '@countersign/event-log'
import { gatherReceipts, logSource, type Receipt, Receipts, receiptOf } from '@countersign/evidence'
import { exampleCatalogue } from '@countersign/schemas'
import type { Facts, Verdict } from '../checker/history.ts'
import { type ReceiptClaim, receiptsTrue } from '../checker/receipts.ts'
import type { Cast } from './cast.ts'
import { ask } from './people.ts'
import type { Site } from './site.ts'

const LOOK_MS = 250
/** Longer than the largest budget of any job class, and the skew. */
const CLOSES_WITHIN_MS = 30_000

/** Kills one worker, stops another, revokes, and waits for the receipt; then both are back. @throws when it does not close. */
export async function silentWorkers(
  site: Site,
  cast: Cast,
  log: EventLog,
  rootKeys: readonly Uint8Array[],
): Promise<Receipt> {
  const [, killed, frozen] = site.workers
  if (!killed || !frozen) throw new Error('three workers are needed')
  frozen.freeze()
  await killed.kill()
  try {
    const id = randomUUID()
    const target = { kind: 'session', id: `ses_${randomUUID()}` }
    const operator = { authorization: `Bearer ${cast.operatorSecret}` }
    await ask('POST', `${site.identity.url}/v1/revocations`, operator, { id, target, reason: 'logout' })
    return await closed(id, log, rootKeys)
  } finally {
    frozen.thaw()
    killed.start()
    await killed.ready()
  }
}

async function closed(id: string, log: EventLog, rootKeys: readonly Uint8Array[]): Promise<Receipt> {
  const source = logSource(log, exampleCatalogue)
  const deadline = performance.now() + CLOSES_WITHIN_MS
  while (performance.now() < deadline) {
    const receipt = await receiptOf(source, id, { rootKeys, now: Date.now() })
    if (receipt?.closedAt) return receipt
    await sleep(LOOK_MS)
  }
  throw new Error(`the receipt of ${id} did not close within ${CLOSES_WITHIN_MS / 1_000} s`)
}

/** @param facts read after the last of them. @param last the one of `silentWorkers`. */
export async function receiptsVerdict(
  log: EventLog,
  rootKeys: readonly Uint8Array[],
  facts: Facts,
  last: Receipt,
): Promise<Verdict> {
  const receipts = new Receipts({ schemas: log.schemas, rootKeys })
  await gatherReceipts(logSource(log, exampleCatalogue), receipts, {})
  const revocations = facts.revocations.flatMap(({ ids }) => ids)
  const asked = revocations.flatMap((id) => receipts.receipt(id, Date.now()) ?? [])
  const verdict = receiptsTrue(facts, [...asked, last].map(claimOf))
  const states = last.consumers.map(({ state }) => state).filter((state) => state !== 'stopped')
  const scene = states.includes('applied') && states.filter((state) => state === 'silent').length >= 2
  const missing = scene ? [] : [`the last one does not name one that applied it and two silent ones: ${last.line}`]
  const violations = [...verdict.violations, ...missing]
  return { ...verdict, held: violations.length === 0, violations }
}

function claimOf({ revocation, positions, appendedAt, closedAt, consumers }: Receipt): ReceiptClaim {
  const [first] = positions
  // Of several signals it has the time of the last, which nobody wrote down for the first.
  const told = positions.length === 1 ? consumers : consumers.map((one) => ({ ...one, exact: false }))
  return { revocation, offset: first?.offset ?? -1, appendedAt, closedAt, consumers: told }
}
