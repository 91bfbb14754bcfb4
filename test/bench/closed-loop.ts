/**
 * Load as a closed loop: each worker on one kept-alive connection with one request in flight, and every answer read and
 * judged before its next request.
 */
import { Client, type Dispatcher } from 'undici'

/** One worker's turns. */
export interface Turns {
  request(turn: number): Dispatcher.RequestOptions
  /** Not part of the time taken. @throws when the answer is not what it must be, which ends the run. */
  judge(status: number, text: string, turn: number): void
}

export interface LoopResult {
  readonly perSecond: number
  readonly answers: number
  readonly p50Us: number
  readonly p99Us: number
}

const MOST = 1 << 20
const timesUs = new Float64Array(MOST)

export async function closedLoop(origin: string, ms: number, workers: readonly Turns[]): Promise<LoopResult> {
  const clients = workers.map(() => new Client(origin, { pipelining: 1 }))
  let answers = 0
  const began = performance.now()
  const until = began + ms
  const work = async (worker: Turns, client: Client): Promise<void> => {
    for (let turn = 0; performance.now() < until; turn++) {
      const request = worker.request(turn)
      const sent = performance.now()
      const { statusCode, body } = await client.request(request)
      const text = await body.text()
      timesUs[answers++ % MOST] = (performance.now() - sent) * 1000
      worker.judge(statusCode, text, turn)
    }
  }
  await Promise.all(workers.map((worker, w) => work(worker, clients[w] as Client)))
  const seconds = (performance.now() - began) / 1000
  await Promise.all(clients.map((client) => client.close()))
  const sorted = timesUs.slice(0, Math.min(answers, MOST)).sort()
  const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0
  return { perSecond: answers / seconds, answers, p50Us: at(0.5), p99Us: at(0.99) }
}
