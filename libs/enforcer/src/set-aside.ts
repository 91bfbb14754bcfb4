/** Copies of parked and dead-lettered messages, with what is needed to find the original and to redrive. */
import { type NewRecord, toHeaderPairs } from '@countersign/event-log'
import { CLASS_HEADER, ENVELOPE_HEADER, ORIGIN_HEADER, PARKED_AT_HEADER, REASON_HEADER } from '@countersign/schemas'
import { carriedHeaders } from '@countersign/telemetry'
import type { Item } from './item.ts'
import type { Settlement } from './outcomes.ts'

const OWN: ReadonlySet<string> = new Set([ORIGIN_HEADER, REASON_HEADER, PARKED_AT_HEADER, CLASS_HEADER])

/**
 * Key, value and every header as received, and origin, reason, time and the class whose copy it is; the origin of a copy
 * that is consumed stays the first.
 */
export function setAsideCopy(item: Item, settlement: Settlement, jobClass: string, now: number): NewRecord {
  const { key, value, headers } = item.message
  const kept = toHeaderPairs(headers).filter(([name]) => !OWN.has(name))
  return { key, value, headers: [...kept, ...ownHeaders(item, settlement, jobClass, now)] }
}

/**
 * For a message whose copy the log refuses as too large: key, value and foreign headers are left behind, but for those by
 * which it is found.
 * The original stands on its topic, where `countersign-origin` says.
 */
export function setAsideStub(item: Item, settlement: Settlement, jobClass: string, now: number): NewRecord {
  const envelope = item.header === null ? [] : [[ENVELOPE_HEADER, item.header] as const]
  // Made anew, since what was received may be what is too large.
  const traced = carriedHeaders(item.message.headers, null)
  return { key: null, value: null, headers: [...envelope, ...traced, ...ownHeaders(item, settlement, jobClass, now)] }
}

function ownHeaders(item: Item, settlement: Settlement, jobClass: string, now: number): [string, Buffer][] {
  return [
    [ORIGIN_HEADER, Buffer.from(item.origin)],
    [REASON_HEADER, Buffer.from(settlement.reason)],
    [PARKED_AT_HEADER, Buffer.from(String(now))],
    [CLASS_HEADER, Buffer.from(jobClass)],
  ]
}
