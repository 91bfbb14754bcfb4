/** Devices people log in from. */
import type { Refused } from '../port.ts'
import type { Device } from '../records.ts'
import { DEVICE, DEVICE_CREDENTIAL } from './kinds.ts'
import { indexOf, keyOf } from './layout.ts'
import { shown } from './shown.ts'
import type { Step, Tx } from './tx.ts'

/** Knows a device again, or makes it. */
export function* meet(
  tx: Tx,
  {
    handle,
    secretHash,
    name,
    sub,
    now,
  }: { handle: string; secretHash: Buffer | null; name: string; sub: string; now: number },
): Step<{ readonly isNew: boolean } | Refused> {
  const known = yield* tx.get(DEVICE, handle)
  if (known !== null) {
    if (known.sub !== sub || known.state !== 'active' || (secretHash !== null && !known.secretHash.equals(secretHash)))
      return { refused: 'device_unknown' }
    tx.put(DEVICE, { ...known, lastSeenAt: Math.max(known.lastSeenAt, now) })
    return { isNew: false }
  }
  if (secretHash === null || (yield* tx.get(DEVICE_CREDENTIAL, secretHash)) !== null)
    return { refused: 'device_unknown' }
  tx.put(DEVICE, { handle, sub, name, state: 'active', createdAt: now, lastSeenAt: now, secretHash })
  tx.put(DEVICE_CREDENTIAL, { hash: secretHash, handle })
  return { isNew: true }
}

export function* devicesOf(tx: Tx, sub: string): Step<Device[]> {
  const all = yield* tx.all(DEVICE, yield* tx.range(indexOf('devices', sub), { newestFirst: true }))
  return all.map((found) => shown.device(found))
}

export function* device(tx: Tx, secretHash: Buffer): Step<Device | null> {
  yield* tx.follow(keyOf(DEVICE_CREDENTIAL, secretHash))
  const credential = yield* tx.get(DEVICE_CREDENTIAL, secretHash)
  const found = credential && (yield* tx.get(DEVICE, credential.handle))
  return found?.state === 'active' ? shown.device(found) : null
}
