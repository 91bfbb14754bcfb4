/** Whoever a request came from, and by what targets that could have been ended. */
import { affiliationTarget, targetKey, tenantTarget } from '@countersign/revocation'
import type { JourneyEvent } from '@countersign/schemas'
import type { JourneyEvidence } from '../source/index.ts'

/** A step of the journey that refused a request whose bearer is known. */
export function isRefusal({ event }: JourneyEvidence): boolean {
  return event.action === 'enforcement' && event.outcome !== 'allowed' && event.sub !== null
}

/** Keys, in hexadecimal, of whatever could have ended what somebody came with. */
export function bearerKeys({ sub, tenant, session, family, token, device, client }: JourneyEvent): string[] {
  const named = { subject: sub, session, family, token, device, client } as const
  const targets = Object.entries(named).flatMap(([kind, id]) =>
    id === null ? [] : [{ kind: kind as keyof typeof named, tenant: '', id }],
  )
  const of = [...targets, ...(tenant === null ? [] : [tenantTarget(tenant)])]
  const own = sub === null || tenant === null ? [] : [affiliationTarget(tenant, sub)]
  return [...of, ...own].map((target) => targetKey(target).toString('hex'))
}

export function sessionKey(session: string): string {
  return targetKey({ kind: 'session', tenant: '', id: session }).toString('hex')
}
