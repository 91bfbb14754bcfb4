/**
 * What does enforcement cost a kafkajs consumer? Messages per second of its CPU time, by the size of the batches it
 * sees, on real Kafka and with every decision recorded; beside the same consumer bare and beside what a team would do
 * instead. Rounds alternate in one run; each figure is the median of its rounds.
 */
import { systemRandom } from '@countersign/kernel'
import { type Cell, cells, figuresOf, type Round } from './consume/cells.ts'
import { type Outcome, SIZES } from './consume/contract.ts'
import { Field } from './consume/field.ts'
import { LOAD_LEVELS, latency } from './consume/latency.ts'
import { type BenchOptions, correct, type Figure, median } from './figure.ts'
import { benchKafka } from './kafka.ts'

export default async function consume({ quick }: BenchOptions): Promise<readonly Figure[]> {
  const say = (line: string): void => console.error(`consume: ${line}`)
  const only = process.env.BENCH_ONLY?.split(',')
  const plan = cells(quick ? 8 : 1).filter(({ name }) => !only || only.includes(name))
  const rounds = quick ? 1 : 5
  const kafka = await benchKafka(say)
  const run = `bench-consume-${systemRandom.bytes(4).toString('hex')}`
  let field: Field | null = null
  try {
    field = await Field.open({ kafka, run, plan, entries: quick ? 1_000 : 100_000, say })
    const results = new Map<Cell, Round[]>()
    // The first round warms up and is not counted.
    for (let round = 0; round <= rounds; round++) {
      for (const cell of round % 2 === 0 ? plan : [...plan].reverse()) {
        const outcome = await field.consume(cell, `${round}`)
        judge(cell, outcome, field.denied(cell))
        if (round > 0) results.set(cell, [...(results.get(cell) ?? []), outcome])
      }
      say(`round ${round} of ${rounds} done${round === 0 ? ' (warm-up)' : ''}`)
    }
    const enforced = plan.find(({ name }) => name === 'b64')
    const full =
      enforced && median((results.get(enforced) ?? []).map(({ counted, wallMs }) => (counted / wallMs) * 1e3))
    const timed: Figure[] = []
    for (const level of LOAD_LEVELS) {
      if (full === undefined || (only && !only.includes(level.name))) continue
      timed.push(...(await latency(field, level, full, quick, say)))
    }
    await recorded(field, plan, rounds + 1)
    return [...figuresOf(plan, results, SIZES), ...timed]
  } finally {
    await field?.stop()
    await kafka.stop(run)
  }
}

function judge(cell: Cell, outcome: Outcome, denied: number): void {
  const { name, messages, size } = cell
  correct(outcome.handled === messages - denied, `${name}: ${outcome.handled} run, not ${messages - denied}`)
  correct(outcome.batch === size, `${name}: batches of ${outcome.batch}, not of ${size}`)
}

/** Every message has its final record, and those delivered again one more. Cells with one topic have theirs together. */
async function recorded(field: Field, plan: readonly Cell[], runs: number): Promise<void> {
  const found = await field.recorded()
  const enforced = plan.filter(({ subject }) => subject === 'enforced')
  for (const [topic, sharing] of Map.groupBy(enforced, (cell) => field.logical(cell))) {
    const { executed = 0, refused = 0, admitted = 0 } = found.get(topic) ?? {}
    const denied = sharing.reduce((sum, cell) => sum + field.denied(cell) * runs, 0)
    const ran = sharing.reduce((sum, cell) => sum + cell.messages * runs, 0) - denied
    correct(
      executed >= ran && admitted >= executed && refused >= denied,
      `${sharing.map(({ name }) => name).join(', ')}: ${executed} and ${refused} recorded, not ${ran} and ${denied}`,
    )
  }
}
