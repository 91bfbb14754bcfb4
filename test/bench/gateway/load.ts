/** The load, in a process of its own: each worker shows credentials of its own in turn. */
import { closedLoop, type LoopResult, type Turns } from '../closed-loop.ts'
import { BODY } from './subject.ts'

export interface LoadTask {
  readonly url: string
  readonly concurrency: number
  readonly ms: number
  /** Headers of requests, shared out among the workers. */
  readonly shown: readonly Readonly<Record<string, string>>[]
}

function run({ url, concurrency, ms, shown }: LoadTask): Promise<LoopResult> {
  const workers = Array.from({ length: concurrency }, (_, w): Turns => {
    const mine = shown.filter((_, i) => i % concurrency === w)
    const held = mine.length > 0 ? mine : shown
    return {
      request: (turn) => ({ path: '/invoices/acme', method: 'GET', headers: held[turn % held.length] ?? {} }),
      judge(status, text) {
        if (status !== 200 || text !== BODY) throw new Error(`wrong answer: ${status} ${text.slice(0, 200)}`)
      },
    }
  })
  return closedLoop(url, ms, workers)
}

process.on('message', async (task: LoadTask) => {
  process.send?.(await run(task))
})
process.on('disconnect', () => process.exit(0))
