/** Kinds of session: how long each lives, when its person must show themselves again, how many there may be and who goes. */
import { days, hours, type Millis, minutes } from '@countersign/kernel'
import { type Target, target } from '@countersign/revocation'
import type { Session, SessionKind } from '@countersign/session-store'

export interface KindRule {
  /** Ends when not used for this long. */
  readonly idleMs: Millis
  /** Ends this long after it began, used or not. */
  readonly absoluteMs: Millis
  /** Acts that give authority need an authentication at most this long ago; null where there is nobody to ask. */
  readonly reauthenticateMs: Millis | null
  /** Most live sessions of the kind a person may have. */
  readonly most: number
  /** Who goes when there is one too many; `refuse`: the new one. */
  readonly whoGoes: 'oldest' | 'idlest' | 'refuse'
}

export type SessionKinds = Readonly<Record<SessionKind, KindRule>>

/** What holds unless the configuration says otherwise. */
export const SESSION_KINDS: SessionKinds = {
  browser: {
    idleMs: minutes(30),
    absoluteMs: hours(12),
    reauthenticateMs: minutes(15),
    most: 20,
    whoGoes: 'oldest',
  },
  admin: { idleMs: minutes(15), absoluteMs: hours(4), reauthenticateMs: minutes(10), most: 3, whoGoes: 'oldest' },
  api: { idleMs: days(30), absoluteMs: days(90), reauthenticateMs: null, most: 20, whoGoes: 'refuse' },
  family: { idleMs: days(14), absoluteMs: days(30), reauthenticateMs: minutes(15), most: 20, whoGoes: 'idlest' },
  device: { idleMs: days(60), absoluteMs: days(180), reauthenticateMs: null, most: 10, whoGoes: 'idlest' },
}

/** What ends this session alone. */
export function targetOf({ kind, handle }: Pick<Session, 'kind' | 'handle'>): Target {
  return target(kind === 'family' || kind === 'device' ? 'family' : 'session', handle)
}

/** @returns those that must go so that one more fits, by the rule; empty when it fits, or when the new one is refused. */
export function whoGoes(live: readonly Session[], { most, whoGoes }: KindRule): readonly Session[] {
  if (whoGoes === 'refuse') return []
  const since = (session: Session): number => (whoGoes === 'oldest' ? session.createdAt : session.lastSeenAt)
  const ordered = [...live].sort((a, b) => since(a) - since(b) || (a.handle < b.handle ? -1 : 1))
  return ordered.slice(0, Math.max(0, live.length + 1 - most))
}
