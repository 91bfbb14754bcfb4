/** `replay compare`: what live consumers say they hold, against what the log makes. Writes nothing. */
import { type ComparedConsumer, type ConsumerVerdict, compareConsumers } from '@countersign/evidence'
import { type Clock, rfc3339 } from '@countersign/kernel'
import { interrupted } from '../errors.ts'
import { EXIT, type ExitCode } from '../exit-codes.ts'
import { progressOnceKnown } from '../progress.ts'
import { print, type Terminal } from '../terminal.ts'
import { openForReplay, type ReplayOptions } from './opened.ts'

export type CompareOptions = Omit<ReplayOptions, 'from' | 'to'>

const WORDS: Record<ConsumerVerdict, string> = {
  equal: 'equal',
  differs: 'DIFFERS',
  unproven: 'has passed no checkpoint',
  other_log: 'FOLLOWS ANOTHER LOG',
  beyond: 'READ MORE THAN THE LOG HOLDS',
  gone: 'says nothing the log still holds',
}
const WRONG: ReadonlySet<ConsumerVerdict> = new Set(['differs', 'other_log', 'beyond'])

/** @returns `differs` when a consumer does, or a checkpoint states another view than the log makes. */
export async function compare(
  options: CompareOptions,
  terminal: Terminal,
  clock: Clock,
  signal: AbortSignal,
): Promise<ExitCode> {
  const opened = await openForReplay(options, clock)
  try {
    const bar = progressOnceKnown(terminal, clock, { work: 'Reading', unit: 'records' })
    const found = await compareConsumers({ ...opened, signal, onRead: bar.at })
    bar.end()
    if (signal.aborted) throw interrupted('interrupted: nothing was compared')
    const logId = opened.assertId(found.logId)
    const { consumers, checkpoints, end } = found
    const json = { log_id: logId, end, checkpoints, consumers: consumers.map(plain) }
    const head = ['consumer', 'instance', 'state', 'said', 'offset', 'verdict', 'digest']
    print(terminal, options.output, { json, head, rows: consumers.map(row) })
    if (consumers.length === 0) terminal.say('No consumer has told of itself.')
    for (const one of consumers.filter(({ verdict }) => verdict === 'differs')) terminal.say(sentence(one))
    if (checkpoints.differingAt !== null) {
      terminal.say(
        `The checkpoint at ${checkpoints.differingAt} states another view than the log makes: the log lacks something, or holds too much.`,
      )
    }
    const wrong = consumers.some(({ verdict }) => WRONG.has(verdict)) || checkpoints.differingAt !== null
    return wrong ? EXIT.differs : EXIT.ok
  } finally {
    await opened.log.close()
  }
}

function sentence({ consumer, withheld }: ComparedConsumer): string {
  const [first] = withheld
  if (first === undefined) return `${consumer} differs by more than one signal, or holds what the log does not.`
  const { target, effect } = first.signal
  const name = [target.kind, target.tenant, target.id].filter((part) => part !== '').join(':')
  const like = withheld.length > 1 ? `, or one of ${withheld.length - 1} like it` : ''
  return `${consumer} lacks signal ${first.id} at offset ${first.offset} (${name}, ${effect})${like}.`
}

function plain(one: ComparedConsumer): object {
  const withheld = one.withheld.map(({ offset, id, signal: { target, effect, floor, seq } }) => ({
    offset,
    id,
    target,
    effect,
    floor,
    seq,
  }))
  return { ...one, at: rfc3339(one.at), withheld }
}

function row({ consumer, instance, state, at, offset, verdict, digest }: ComparedConsumer): string[] {
  const said = rfc3339(at)
  return [consumer, instance.slice(0, 8), state, said, String(offset), WORDS[verdict], digest.slice(0, 16)]
}
