/**
 * A page for each preset of job classes, made from the preset that runs and from the decisions made under it: what a page
 * says of a reason is what `decide` answered. Pure; `main.ts` reads and writes.
 */
import {
  defineJobClass,
  type JobClassRules,
  judgeCases,
  PRESET_NAMES,
  type PresetName,
  readCases,
} from '@countersign/policy'
import { REASONS, type Reason } from '@countersign/revocation'

const SUITS: Readonly<Record<PresetName, string>> = {
  strict: 'The default. For work that is to stop with the authority it was asked for under, whatever ended that.',
  'finish-accepted':
    'For work that somebody may leave behind: asked for before they left, it is done. What speaks against the work itself stops it.',
  money:
    'For what cannot be taken back: payments, orders, mails to the outside. Judged by the freshest view there is, once more in the step that commits, and under a time limit.',
}

const BANNER = '<!-- Generated from the presets that run by `npm run generate`; do not edit. -->\n\n'

/** @returns file name → text, for `libs/policy/presets`. */
export function presetPages(): Record<string, string> {
  return Object.fromEntries(PRESET_NAMES.map((name) => [`${name}.md`, page(name)]))
}

function page(name: PresetName): string {
  const rules = defineJobClass({ name: 'work', topic: 'work', action: 'do', preset: name })
  return `${BANNER}# Preset \`${name}\`

${SUITS[name]}

| rule | value |
|---|---|
${settings(rules)
  .map(([rule, value]) => `| ${rule} | ${value} |`)
  .join('\n')}

## What a signal does

*Accepted before*: the credential is from before the signal, and the work was sealed more than ε before it. *After*: sealed
later, under a credential the signal hits; a boundary that had read the signal would not have sealed it.

| reason | queued, accepted before | queued, after | running, accepted before |
|---|---|---|---|
${REASONS.map((reason) => `| \`${reason}\` | ${told(rules, reason, 'queued', true)} | ${told(rules, reason, 'queued', false)} | ${told(rules, reason, 'running', true)} |`).join('\n')}

A removed scope is no reason: work that needs it is denied, other work goes on with the scopes that are left.

## What a class may still say

Every rule above can be given by the class itself, and beside them what it demands: \`scopes\`, \`principals\`, \`acr\`,
\`maxAuthAgeMs\`, \`posture\`, \`risk\`. See [the package](../README.md).
`
}

function settings(rules: JobClassRules): [string, string][] {
  const { whenNotFresh, maxWaitMs, effect, timeoutMs, attempts, backoffMs, backoffMaxMs, audit } = rules
  const waits = `waits, at most ${duration(maxWaitMs)}, then is parked`
  return [
    ['oldest view it is judged by (`stalenessBudgetMs`)', duration(rules.stalenessBudgetMs)],
    [
      'longest identity’s store may be out of the notary’s sight (`storeUnseenBudgetMs`)',
      rules.storeUnseenBudgetMs === null ? 'any time' : duration(rules.storeUnseenBudgetMs),
    ],
    ['while the view is older than that (`whenNotFresh`)', whenNotFresh === 'wait' ? waits : 'is parked'],
    ['while the view is behind the envelope’s position', waits],
    [
      'effects (`effect`)',
      effect === 'rechecked'
        ? 'judged again in the step that commits them, through `commitIfAllowed`; a handler that ends without is a dead letter, `effect_unchecked`'
        : 'the handler’s own affair; `commitIfAllowed` is there for it',
    ],
    [
      'longest an attempt may take (`timeoutMs`)',
      timeoutMs === null ? 'any time' : `${duration(timeoutMs)}, then its signal aborts`,
    ],
    [
      'attempts in all (`attempts`, `backoffMs`, `backoffMaxMs`)',
      `${attempts}; ${duration(backoffMs)} apart at first, twice as long each time, at most ${duration(backoffMaxMs)}`,
    ],
    [
      'while decisions cannot be recorded (`audit`)',
      audit === 'required'
        ? 'nothing starts'
        : 'they are kept in the spool and recorded later; nothing starts while it is full',
    ],
  ]
}

/** What `decide` answers to work of a session that the reason has ended. */
function told(rules: JobClassRules, reason: Reason, phase: 'queued' | 'running', before: boolean): string {
  const { cases } = readCases({
    cases: [
      {
        name: reason,
        class: rules.name,
        work: { credential: '1h', sealed: before ? '5m' : '1m', targets: ['session'] },
        signals: [{ target: 'session', reason, ago: '3m' }],
        phase,
        expect: { outcome: 'allow' },
      },
    ],
  })
  const [result] = judgeCases(cases, [rules])
  return result?.decision.outcome === 'allow' ? '**finishes**' : 'stops'
}

function duration(ms: number): string {
  return ms % 1_000 === 0 ? `${ms / 1_000} s` : `${ms.toLocaleString('en')} ms`
}
