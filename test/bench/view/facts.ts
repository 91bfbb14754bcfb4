/** The signals the view benches fold: a million ended sessions and removed scopes, the same in every run. */
import type { Signal } from '@countersign/schemas'

/** Epoch ms of the first floor; they rise by one a signal. */
const FIRST_FLOOR = 1_800_000_000_000

/**
 * Signals that make a view of exactly `entries` (target, effect) pairs: nine of ten are ended sessions, the tenth
 * removed scopes of affiliations, two each. Every twentieth entry was raised once before, so it has a lower floor.
 */
export function* signals(entries: number): Generator<Signal> {
  const id = Buffer.alloc(16)
  let seq = 0
  for (let i = 0; i < entries; i++) {
    const session = i % 10 !== 9
    const target = session
      ? ({ kind: 'session', tenant: '', id: `ses_${i.toString(36).padStart(22, '0')}` } as const)
      : ({ kind: 'affiliation', tenant: `tenant-${i % 500}`, id: `usr_${Math.floor(i / 20)}` } as const)
    const effect = session ? 'reason:logout' : i % 20 === 9 ? 'scope:invoices:export' : 'scope:payments:run'
    const fallback = session ? 'logout' : 'role_change'
    for (let raised = i % 20 === 0 ? 2 : 1; raised > 0; raised--) {
      seq++
      id.writeUInt32BE(seq, 12)
      const floor = FIRST_FLOOR + i - (raised - 1) * 60_000
      yield { id, seq, target, effect, fallback, floor, cause: 'logout', initiator: 'usr_1' }
    }
  }
}

/** Floors of such a view. */
export function floorsOf(entries: number): number {
  return entries + Math.ceil(entries / 20)
}
