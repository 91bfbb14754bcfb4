/** Sessions and devices as people see them. */
import type { Actor } from '@countersign/schemas'
import type { Device, Session } from '@countersign/session-store'

export interface SessionView {
  readonly session: string
  readonly kind: Session['kind']
  readonly tenant: string
  readonly client: string | null
  readonly device: string | null
  /** Who acts in it, if not its person. */
  readonly act: readonly Actor[]
  readonly scopes: readonly string[] | null
  readonly createdAt: number
  readonly lastSeenAt: number
  readonly authTime: number
  readonly idleExpiresAt: number
  readonly expiresAt: number
  readonly newDevice: boolean
  /** True for the one that asks. */
  readonly current: boolean
}

/** @param current handle of the session that asks, null for none of them. */
export function sessionView(session: Session, current: string | null): SessionView {
  const { handle, kind, tenant, client, device, act, scope, createdAt, lastSeenAt, authTime } = session
  const { idleExpiresAt, absoluteExpiresAt, newDevice } = session
  return {
    session: handle,
    kind,
    tenant,
    client,
    device,
    act,
    scopes: scope,
    createdAt,
    lastSeenAt,
    authTime,
    idleExpiresAt,
    expiresAt: absoluteExpiresAt,
    newDevice,
    current: handle === current,
  }
}

/** @param current handle of the device that asks, null when it is none of them. */
export function deviceView(
  { handle, name, state, createdAt, lastSeenAt }: Device,
  current: string | null,
): Omit<Device, 'sub' | 'handle'> & { device: string; current: boolean } {
  return { device: handle, name, state, createdAt, lastSeenAt, current: handle === current }
}
