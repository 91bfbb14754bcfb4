/** Targets as people write them. */
import { isTarget, TARGET_KINDS, type Target } from '@countersign/revocation'
import { wrongArgument } from './errors.ts'

/** `session:ses_…`, `tenant:acme`, `affiliation:acme/u-1`. @throws {OPS_ARGUMENT_INVALID} */
export function targetOf(text: string): Target {
  const [, kind, rest] = /^([a-z]+):(.+)$/.exec(text) ?? []
  const target = ((): Target | null => {
    if (kind === undefined || rest === undefined || !(TARGET_KINDS as readonly string[]).includes(kind)) return null
    const of = kind as Target['kind']
    if (of === 'tenant') return { kind: of, tenant: rest, id: '' }
    if (of !== 'affiliation') return { kind: of, tenant: '', id: rest }
    const [, tenant, id] = /^([^/]+)\/(.+)$/.exec(rest) ?? []
    return tenant === undefined || id === undefined ? null : { kind: of, tenant, id }
  })()
  if (target === null || !isTarget(target)) {
    throw wrongArgument(
      `the target is <kind>:<id>, affiliation:<tenant>/<subject> or tenant:<tenant>, with kind one of ${TARGET_KINDS.join(', ')}; not ${text}`,
    )
  }
  return target
}
