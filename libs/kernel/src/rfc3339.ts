/** Last moment a `Date` can hold, epoch milliseconds. */
const LATEST = 8.64e15

/**
 * @param ms epoch milliseconds.
 * @returns RFC 3339, UTC; of a number that is no moment, the number: what somebody else wrote must not end who reads it.
 */
export function rfc3339(ms: number): string {
  return Math.abs(ms) <= LATEST ? new Date(ms).toISOString() : String(ms)
}
