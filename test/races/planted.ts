/** Flaws others had, planted one at a time into identities that race, to prove that the races would show them. */
import type { SourceEdit } from '../identity/edited-source.ts'

export interface Planted {
  readonly name: string
  /** Published id of the flaw, where it has one. */
  readonly id: string | null
  readonly edits: readonly SourceEdit[]
  /** What a run with it must be told for. */
  readonly caught: RegExp
}

const FAMILIES = 'libs/session-store/src/steps/families.ts'

export const PLANTED: readonly Planted[] = [
  {
    name: 'each of two concurrent refreshes gets a child of its own',
    id: 'CVE-2026-1035',
    edits: [
      {
        file: FAMILIES,
        find: "{ outcome: 'repeated', resolved: live, generation: generation + 1 }",
        replace: "{ outcome: 'repeated', resolved: live, generation: generation + 1 + Math.floor(Math.random() * 9) }",
      },
    ],
    caught: /live children of one token/,
  },
  {
    name: 'a token used up is good again later',
    id: 'CVE-2026-9802',
    edits: [
      {
        file: FAMILIES,
        find: 'return now - Math.max(rotation.at, rotation.deliveredAt ?? 0) <= graceMs',
        replace: 'return true',
      },
    ],
    caught: /replayed after the grace got tokens/,
  },
  {
    name: 'a retry is taken for theft',
    id: null,
    edits: [
      {
        file: FAMILIES,
        find: 'return mayRepeat(refresh, generation, o)',
        replace: 'return !mayRepeat(refresh, generation, o)',
      },
    ],
    caught: /taken for theft/,
  },
  {
    name: 'reuse is refused and nothing more',
    id: null,
    edits: [
      {
        file: 'services/identity/src/oauth/refresh.ts',
        find: "if (rotated.outcome === 'reused') return this.#reused(rotated.session, request)",
        replace: "if (rotated.outcome === 'reused') return GRANT_INVALID",
      },
    ],
    caught: /reuse did not end the family/,
  },
  {
    name: 'each instance tells of the same reuse',
    id: null,
    edits: [
      {
        file: 'services/identity/src/oauth/refresh.ts',
        find: 'id: derivedId(path, handle),',
        replace: 'id: derivedId(path, handle + request.id),',
      },
      {
        file: 'services/identity/src/oauth/refresh.ts',
        find: "change: { kind: 'session_ended', handle },",
        replace: "change: { kind: 'none' },",
      },
    ],
    caught: /signals for one reuse/,
  },
]
