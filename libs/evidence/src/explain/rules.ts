/** Rules of job classes by their version, as consumers registered them or as they are given. */
import { defineJobClass, type JobClassRules, ruleVersion, ruleVersionOf } from '@countersign/policy'
import { readTold } from '@countersign/schemas'
import type { Asked, EvidenceSource } from '../source/index.ts'

/** Rules, and what their version is by their content. */
export interface KnownRules {
  readonly rules: JobClassRules
  readonly version: string
}

/** Looked up by the version that a decision record names, and the class. */
export class RulesByVersion {
  readonly #known = new Map<string, KnownRules | 'altered'>()

  /** @param given rules that count before those that are registered. */
  constructor(given: readonly JobClassRules[] = []) {
    for (const rules of given) {
      const version = ruleVersion(rules)
      this.#known.set(`${rules.name} ${version}`, { rules, version })
    }
  }

  /** Adds what consumers registered. @throws what the source throws. */
  async readRegistered(source: EvidenceSource, asked: Asked): Promise<void> {
    for await (const { record } of source.progress(asked)) {
      const told = readTold(record.value, source.schemas)
      if (told?.kind !== 'Registration') continue
      for (const { name, rule_version: claimed, rules } of told.registration.classes) {
        const known = this.#known.get(`${name} ${claimed}`)
        if (known === undefined || known === 'altered') this.#add(name, claimed, rules)
      }
    }
  }

  /** @returns `altered` where only such were registered under that version whose content has another. */
  find(jobClass: string, version: string): KnownRules | 'altered' | null {
    return this.#known.get(`${jobClass} ${version}`) ?? null
  }

  #add(name: string, claimed: string, json: string): void {
    const key = `${name} ${claimed}`
    if (ruleVersionOf(json) !== claimed) return void this.#known.set(key, 'altered')
    const rules = rulesIn(json)
    if (rules !== null) this.#known.set(key, { rules, version: claimed })
  }
}

const ANY_BUDGET = { checkpointIntervalMs: 0, epsilonMs: 0 }

/** Complete as the consumer had them. Anybody who can write to the topic can register: null for what is no class. */
function rulesIn(json: string): JobClassRules | null {
  try {
    const read: unknown = JSON.parse(json)
    defineJobClass(read, ANY_BUDGET)
    return read as JobClassRules
  } catch {
    return null
  }
}
