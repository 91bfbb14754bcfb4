/** What is judged, and by what: a job or an HTTP request, under the rules of its class. */
import type { OpenedEnvelope } from '@countersign/envelope'
import type { Allow, JobClassRules, Phase } from '@countersign/policy'
import type { Refused } from './outcomes.ts'

/** What became of the effects of one piece of work, over all its attempts. */
export interface EffectNote {
  /** Commits that ended well. */
  readonly count: number
  /** By what, until when and at the latest when the last one happened. */
  readonly viewOffset: number
  readonly asOf: number
  readonly notAfter: number
  readonly at: number
}

/** What runs: a job, or an HTTP request. */
export interface Judged {
  /** Null only in observed classes. */
  readonly opened: OpenedEnvelope | null
  /** What enforcement would have done, in an observed class. */
  observed: { readonly reason: string } | null
  /** Of all attempts so far. */
  effects: EffectNote | null
}

/** The rules it runs under. */
export interface Judge {
  readonly rules: JobClassRules
  decide(judged: Judged, phase: Phase): Allow | Refused
}
