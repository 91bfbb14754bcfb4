/** What ties an envelope to its one event: logical topic, key, event id and payload. Null is not empty. */
import { hash } from 'node:crypto'
import type { EventBinding } from '@countersign/schemas'

/** An event as it is sent or as it arrived. */
export interface BoundEvent {
  /** Logical topic. */
  readonly topic: string
  readonly key: Uint8Array | null
  readonly value: Uint8Array | null
}

/** An event of which only the SHA-256 of key and value is kept. */
export interface SummedEvent {
  /** Logical topic. */
  readonly topic: string
  readonly keySha256: Uint8Array | null
  readonly valueSha256: Uint8Array | null
}

/**
 * Binds an envelope to an event that is about to be sent.
 *
 * @param event.id 16 bytes, fresh for each event.
 * @param event.value the bytes of the record value as they go to the log, schema prefix included.
 */
export function bindEvent(event: BoundEvent & { readonly id: Uint8Array }): EventBinding {
  const { topic, key, id, value } = event
  return { topic, key, id, payload_sha256: value === null ? null : hash('sha256', value, 'buffer') }
}

export type BindingFault = 'envelope_topic_mismatch' | 'envelope_key_mismatch' | 'envelope_payload_mismatch'

/** @returns the first part in which the event is not the bound one, or null. Cost: SHA-256 of the value. */
export function bindingFault(binding: EventBinding, event: BoundEvent | SummedEvent): BindingFault | null {
  if (binding.topic !== event.topic) return 'envelope_topic_mismatch'
  if ('valueSha256' in event) return summedFault(binding, event)
  if (!sameKey(binding.key, event.key)) return 'envelope_key_mismatch'
  if (!samePayload(binding.payload_sha256, event.value)) return 'envelope_payload_mismatch'
  return null
}

function summedFault({ key, payload_sha256 }: EventBinding, event: SummedEvent): BindingFault | null {
  if (!sameKey(key && hash('sha256', key, 'buffer'), event.keySha256)) return 'envelope_key_mismatch'
  return sameKey(payload_sha256, event.valueSha256) ? null : 'envelope_payload_mismatch'
}

function sameKey(bound: Uint8Array | null, key: Uint8Array | null): boolean {
  if (bound === null || key === null) return bound === key
  return bound.length === key.length && Buffer.compare(bound, key) === 0
}

function samePayload(bound: Uint8Array | null, value: Uint8Array | null): boolean {
  if (bound === null || value === null) return bound === value
  return latin1(bound) === hash('sha256', value, 'binary')
}

function latin1(bytes: Uint8Array): string {
  const buffer = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return buffer.toString('latin1')
}
