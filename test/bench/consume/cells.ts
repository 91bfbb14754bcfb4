/** What is measured beside what, and the figures that come of it. */
import { atLeast, type Figure, figure, type Goal, median } from '../figure.ts'
import type { HandlerName, Kind, Outcome, SubjectName } from './contract.ts'

/** One subject over one topic with one handler. */
export interface Cell {
  readonly name: string
  readonly subject: SubjectName
  readonly kind: Kind
  /** What tells its topic from others of this kind. */
  readonly topic: string
  readonly size: number
  readonly messages: number
  readonly handler: HandlerName
}

export type Round = Outcome

const MESSAGES: Readonly<Record<number, number>> = { 1: 3_072, 4: 9_216, 16: 18_432, 64: 30_720, 256: 36_864 }
const RIVAL_MESSAGES = 7_680
const WRITES = 6_144

const RIVALS: readonly { readonly subject: SubjectName; readonly kind: Kind; readonly goal: Goal | undefined }[] = [
  { subject: 'redis', kind: 'claims', goal: atLeast(4) },
  { subject: 'redis-mget', kind: 'claims', goal: undefined },
  { subject: 'introspection', kind: 'opaque', goal: atLeast(4) },
  { subject: 'introspection-in-flight', kind: 'opaque', goal: undefined },
  { subject: 'jwt-eddsa', kind: 'jwt-eddsa', goal: atLeast(3) },
  { subject: 'jwt-rs256', kind: 'jwt-rs256', goal: undefined },
]

/** @param part of the usual number of messages: one in so many. */
export function cells(part: number): readonly Cell[] {
  const few = (messages: number, size: number): number => Math.ceil(messages / part / (size * 12)) * size * 12
  return [
    ...Object.entries(MESSAGES).flatMap(([text, count]): Cell[] => {
      const size = Number(text)
      const same = { topic: `b${size}`, size, messages: few(count, size), handler: 'empty' } as const
      return [
        { ...same, name: `b${size}`, subject: 'enforced', kind: 'sealed' },
        { ...same, name: `b${size}.bare`, subject: 'bare', kind: 'plain' },
      ]
    }),
    ...(['redis', 'sqlite'] as const).flatMap((handler): Cell[] => {
      const same = { topic: 'writes', size: 64, messages: few(WRITES, 64), handler } as const
      return [
        { ...same, name: `write-${handler}`, subject: 'enforced', kind: 'sealed' },
        { ...same, name: `write-${handler}.bare`, subject: 'bare', kind: 'plain' },
      ]
    }),
    ...RIVALS.map(({ subject, kind }): Cell => {
      const messages = few(RIVAL_MESSAGES, 64)
      return { name: subject, subject, kind, topic: 'rivals', size: 64, messages, handler: 'empty' }
    }),
  ]
}

const perCpu = ({ counted, cpuUs }: Round): number => (counted / cpuUs) * 1e6
const perSecond = ({ counted, wallMs }: Round): number => (counted / wallMs) * 1e3

export function figuresOf(
  plan: readonly Cell[],
  results: ReadonlyMap<Cell, readonly Round[]>,
  sizes: readonly number[],
): readonly Figure[] {
  const of = (name: string): readonly Round[] => {
    const cell = plan.find((one) => one.name === name)
    return (cell && results.get(cell)) ?? []
  }
  const rate = (id: string, name: string, goal?: Goal): Figure[] =>
    of(name).length === 0
      ? []
      : [
          figure(id, median(of(name).map(perCpu)), 'messages/CPU-s', goal),
          figure(`${id}.wall`, median(of(name).map(perSecond)), 'messages/s'),
        ]
  const ratio = (id: string, name: string, other: string, by: (round: Round) => number, goal?: Goal): Figure[] => {
    const others = of(other)
    const ratios = of(name).flatMap((round, i) => (others[i] ? [by(round) / by(others[i])] : []))
    return ratios.length === 0 ? [] : [figure(id, median(ratios), 'times', goal)]
  }
  return [
    ...sizes.flatMap((size) => [
      ...rate(`consume.b${size}`, `b${size}`, size === 64 ? atLeast(30_000) : undefined),
      ...rate(`consume.b${size}.bare`, `b${size}.bare`),
      ...ratio(`consume.b${size}.of-bare`, `b${size}`, `b${size}.bare`, perCpu),
    ]),
    ...(['redis', 'sqlite'] as const).flatMap((store) => [
      ...rate(`consume.write-${store}`, `write-${store}`),
      ...rate(`consume.write-${store}.bare`, `write-${store}.bare`),
      ...ratio(`consume.write-${store}.of-bare`, `write-${store}`, `write-${store}.bare`, perSecond, atLeast(0.85)),
      ...ratio(`consume.write-${store}.of-bare.cpu`, `write-${store}`, `write-${store}.bare`, perCpu, atLeast(0.85)),
    ]),
    ...RIVALS.flatMap(({ subject, goal }) => [
      ...rate(`consume.${subject}`, subject),
      ...ratio(`consume.over-${subject}`, 'b64', subject, perCpu, goal),
    ]),
  ]
}
