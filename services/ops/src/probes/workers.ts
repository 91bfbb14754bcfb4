/** Asks workers what they would decide. Nothing runs there and nothing is recorded. */
import { randomBytes } from 'node:crypto'
import { type SigningKey, seal } from '@countersign/envelope'
import { type Clock, isCountersignError } from '@countersign/kernel'
import { defineJobClass, type JobClassRules, ruleVersion } from '@countersign/policy'
import type { Replica } from '@countersign/replica'
import type { Catalogue } from '@countersign/schemas'
import { type Check, fail, ok, skip } from '../checks.ts'
import { ask, textOf } from './asking.ts'
import { type EndedTarget, type JobProbe, jobProbes, PROBE_KEY, PROBE_VALUE } from './job-probes.ts'

export interface WorkerProbing {
  /** Where each worker answers. */
  readonly urls: readonly string[]
  /** Null where doctor was given none: rules are still compared. */
  readonly means: { readonly secret: string; readonly key: SigningKey; readonly tenant: string } | null
  readonly catalogue: Catalogue
  readonly replica: Pick<Replica, 'position' | 'floors'>
  readonly ended: EndedTarget | null
  readonly clock: Clock
  readonly timeoutMs: number
}

export interface WorkerFindings {
  readonly checks: readonly Check[]
  /** Every class found, once. */
  readonly classes: readonly JobClassRules[]
}

const RETRY_MS = 100

/** @returns one check per worker and class. */
export async function examineWorkers(probing: WorkerProbing): Promise<WorkerFindings> {
  const checks: Check[] = []
  const classes = new Map<string, { rules: JobClassRules; version: string; at: string }>()
  for (const url of probing.urls) {
    const at = new URL(url).host
    try {
      for (const { rules, version } of await rulesAt(url, probing.timeoutMs)) {
        const name = `job class ${rules.name} at ${at}`
        const other = classes.get(rules.name)
        classes.set(rules.name, other ?? { rules, version, at })
        if (other !== undefined && other.version !== version)
          checks.push(fail(name, `its rules are ${version}, those at ${other.at} are ${other.version}`))
        else checks.push(await examineClass(name, url, rules, probing))
      }
    } catch (error) {
      checks.push(fail(`worker at ${at}`, reasonOf(error)))
    }
  }
  if (probing.means !== null && probing.ended === null && classes.size > 0)
    checks.push(
      skip('job classes: stale version', 'no signal stands on the log; end anything with "revoke", and ask again'),
    )
  return { checks, classes: [...classes.values()].map(({ rules }) => rules) }
}

async function rulesAt(url: string, timeoutMs: number): Promise<{ rules: JobClassRules; version: string }[]> {
  const { status, body } = await ask(new URL('/v1/job-classes', url), timeoutMs)
  if (status !== 200 || !Array.isArray(body)) throw new TypeError(`it does not tell its job classes: HTTP ${status}`)
  return body.map(({ ruleVersion: version, ...written }) => {
    // What limits a budget is the worker's own affair.
    const rules = defineJobClass(written, { checkpointIntervalMs: 0, epsilonMs: 0 })
    return { rules, version: typeof version === 'string' ? version : ruleVersion(rules) }
  })
}

async function examineClass(name: string, url: string, rules: JobClassRules, probing: WorkerProbing): Promise<Check> {
  const { means, catalogue, replica, ended, clock } = probing
  if (means === null) return skip(name, 'probing needs --envelope-key-file and --probe-secret-file')
  const facts = { catalogue, ended, tenant: means.tenant, now: clock.now(), position: replica.position() }
  const probes = jobProbes(rules, { ...facts, bytes: (length) => randomBytes(length) })
  if (probes === null) return fail(name, `its topic ${rules.topic} is none of the catalogue's`)
  for (const probe of probes) {
    const fault = await examine(probe, url, rules, probing, means)
    if (fault !== null) return fail(name, fault)
  }
  return ok(name, `takes what it should, and refuses what lacks ${probes.slice(1).map(shortly).join(', ')}`)
}

/** @returns what is wrong, or null. What a worker cannot judge yet it is asked again, until the time is up. */
async function examine(
  { lacks, claims, wanted }: JobProbe,
  url: string,
  { name }: JobClassRules,
  { clock, timeoutMs }: WorkerProbing,
  { secret, key }: NonNullable<WorkerProbing['means']>,
): Promise<string | null> {
  const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64')
  const [envelope] = seal([claims], key) as [Buffer]
  const body = JSON.stringify({ envelope: base64(envelope), key: base64(PROBE_KEY), value: base64(PROBE_VALUE) })
  const headers = { authorization: `Bearer ${secret}`, 'content-type': 'application/json' }
  const address = new URL(`/v1/job-classes/${encodeURIComponent(name)}/probe`, url)
  for (const deadline = clock.monotonic() + timeoutMs; ; await clock.sleep(RETRY_MS)) {
    const answer = await ask(address, timeoutMs, { method: 'POST', headers, body })
    const outcome = textOf(answer.body, 'outcome')
    const reason = textOf(answer.body, 'reason') ?? textOf(answer.body, 'code') ?? `http_${answer.status}`
    if (outcome === 'parked' && clock.monotonic() < deadline) continue
    const observed = (answer.body as { observed?: unknown } | null)?.observed === true
    if (observed) return 'it only observes: what it would refuse runs'
    if (outcome !== null && wanted(reason)) return null
    return lacks === 'nothing' ? `the good one is refused: ${reason}` : `one that lacks ${lacks} gets ${reason}`
  }
}

const shortly = ({ lacks }: JobProbe): string => lacks.replace(/:.*/, '')

function reasonOf(error: unknown): string {
  if (isCountersignError(error)) return error.publicMessage
  return error instanceof TypeError ? error.message : 'an unexpected failure'
}
