/** The size limit every adapter applies before it appends anything. */
import { EventLogError } from './errors.ts'
import { maxRecordBytes, type NewRecord } from './port.ts'

/** Bytes of key, value and headers together. */
export function recordBytes(record: NewRecord): number {
  let bytes = (record.key?.length ?? 0) + (record.value?.length ?? 0)
  for (const [name, value] of record.headers) bytes += name.length + value.length
  return bytes
}

/** @throws {EVENT_LOG_RECORD_TOO_LARGE} when any record is over {@link maxRecordBytes}. */
export function assertSizes(topic: string, records: readonly NewRecord[]): void {
  for (const record of records) {
    const bytes = recordBytes(record)
    if (bytes > maxRecordBytes) {
      throw new EventLogError({
        code: 'EVENT_LOG_RECORD_TOO_LARGE',
        retriable: false,
        publicMessage: `a record for ${topic} has ${bytes} bytes, at most ${maxRecordBytes} are allowed`,
        detail: { topic, bytes },
      })
    }
  }
}
