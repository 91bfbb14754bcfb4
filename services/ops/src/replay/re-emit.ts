/** `replay re-emit`: has identity put signals on their log once more. Takes nothing from anybody, and gives nothing back. */
import {
  type Emitted,
  type MeantSignal,
  planReEmission,
  type ReEmission,
  type ReplayEffect,
} from '@countersign/evidence'
import { type Clock, isCountersignError } from '@countersign/kernel'
import type { Environment } from '../command.ts'
import { countOf } from '../connection.ts'
import { interrupted, wrongArgument } from '../errors.ts'
import { EXIT, type ExitCode } from '../exit-codes.ts'
import { histogramOf, printWithHistogram } from '../histogram.ts'
import { askReplay, type IdentityOptions } from '../identity-client.ts'
import { progress, progressOnceKnown } from '../progress.ts'
import { type IdentityFlags, identityOf } from '../revoke.ts'
import type { Terminal } from '../terminal.ts'
import { type FilterOptions, filterOptions, openForReplay, type ReplayOptions } from './opened.ts'

export interface ReEmitOptions extends ReplayOptions, FilterOptions, IdentityFlags {
  /** Copies a second. */
  rate: string
  replayId?: string
  execute?: boolean
}

/** Shows which signals; with `execute` has them copied, from where an earlier run of the same replay stopped. */
export async function reEmit(
  options: ReEmitOptions,
  env: Environment,
  terminal: Terminal,
  clock: Clock,
  signal: AbortSignal,
): Promise<ExitCode> {
  const perSecond = countOf('--rate', options.rate)
  const filter = filterOptions(options)
  const { replayId } = options
  if (replayId !== undefined && !/^rpl_[\w-]{1,64}$/.test(replayId)) {
    throw wrongArgument(`--replay-id is as a plan prints it, rpl_ and letters, not ${replayId}`)
  }
  const identity = options.execute ? identityOf(options, env) : null
  const opened = await openForReplay(options, clock)
  try {
    const bar = progressOnceKnown(terminal, clock, { work: 'Reading', unit: 'records' })
    const named = replayId !== undefined && { replay: replayId }
    const plan = await planReEmission({ ...opened, filter, ...named, onRead: bar.at, signal })
    bar.end()
    if (signal.aborted) throw interrupted('interrupted: nothing was put on the log')
    const logId = opened.assertId(plan.logId)
    if (identity === null) return show(plan, logId, options, terminal)
    return await execute({ plan, logId, identity, perSecond, options, terminal, clock, signal })
  } finally {
    await opened.log.close()
  }
}

function show(plan: ReEmission, logId: string, options: ReEmitOptions, terminal: Terminal): ExitCode {
  tell(factsOf(plan, logId, false), plan, options, terminal)
  terminal.say(
    plan.left === 0
      ? 'Nothing is left to put on the log.'
      : `${plan.left} to put on the log once more. The same with --execute --replay-id ${plan.replay} does it.`,
  )
  return EXIT.ok
}

interface Execution {
  readonly plan: ReEmission
  readonly logId: string
  readonly identity: IdentityOptions
  readonly perSecond: number
  readonly options: ReEmitOptions
  readonly terminal: Terminal
  readonly clock: Clock
  readonly signal: AbortSignal
}

async function execute(one: Execution): Promise<ExitCode> {
  const { plan, logId, identity, perSecond, options, terminal, clock, signal } = one
  const { replay } = plan
  if (plan.left > 0) terminal.say(`Replay ${replay}.`)
  const bar = progress(terminal, clock, { work: 'Putting on the log', total: plan.left, unit: 'signals' })
  let done = 0
  const emit = (offsets: readonly number[]): Promise<Emitted> => askReplay(identity, { replay, log_id: logId, offsets })
  const onEmitted = (emitted: number): void => {
    done = emitted
    bar.at(emitted)
  }
  let skipped: ReadonlyMap<string, number>
  try {
    skipped = await plan.run({ emit, perSecond, clock, onEmitted, signal })
  } catch (error) {
    if (isCountersignError(error))
      terminal.say(`${done} of ${plan.left} done; the same with --replay-id ${replay} goes on.`)
    throw error
  } finally {
    bar.end()
  }
  const effect = await plan.effect()
  const left = plan.left - done
  const facts = { ...factsOf(plan, logId, true), done, left, skipped: Object.fromEntries(skipped), ...effect }
  tell(facts, plan, options, terminal)
  return verdict(effect, left, replay, terminal)
}

function verdict({ after, without }: ReplayEffect, left: number, replay: string, terminal: Terminal): ExitCode {
  if (after.digest !== without) {
    terminal.say('With the copies the log makes another view than without them.')
    return EXIT.differs
  }
  terminal.say('With the copies the log makes the very same view as without them.')
  if (left === 0) return EXIT.ok
  throw interrupted(`interrupted with ${left} left; the same with --replay-id ${replay} goes on`)
}

function factsOf(plan: ReEmission, logId: string, executed: boolean): Record<string, unknown> {
  const { replay, meant, left, before } = plan
  return { executed, replay, log_id: logId, meant: meant.length, left, before }
}

function tell(
  facts: Record<string, unknown>,
  { meant }: ReEmission,
  { output }: ReEmitOptions,
  terminal: Terminal,
): void {
  const histogram = histogramOf(meant.map(({ timestamp }: MeantSignal) => timestamp))
  printWithHistogram(terminal, output, facts, histogram)
}
