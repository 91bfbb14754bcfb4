/**
 * The load, in a process of its own: a closed loop of `concurrency` workers, each on one kept-alive connection with one
 * request in flight, and each with tokens of its own. Every answer is read and judged before the next request.
 */
import { Client } from 'undici'
import type { LoadResult, LoadTask } from './load-process.ts'

interface Worker {
  readonly client: Client
  /** Tokens of this worker, used in turn. */
  readonly tokens: { sub: string; value: string }[]
}

const MOST = 1 << 20
const timesUs = new Float64Array(MOST)

async function run(task: LoadTask): Promise<LoadResult> {
  const { origin, pathname } = new URL(task.endpoint.url)
  const headers = {
    authorization: task.endpoint.authorization,
    'content-type': 'application/x-www-form-urlencoded',
  }
  const workers = Array.from(
    { length: task.concurrency },
    (_, w): Worker => ({
      client: new Client(origin, { pipelining: 1 }),
      tokens: task.tokens.filter((_, i) => i % task.concurrency === w).map((token) => ({ ...token })),
    }),
  )
  let answers = 0
  const began = performance.now()
  const until = began + task.ms
  const work = async ({ client, tokens }: Worker): Promise<void> => {
    for (let turn = 0; performance.now() < until; turn++) {
      const token = tokens[turn % tokens.length] as Worker['tokens'][number]
      const body =
        task.kind === 'refresh' ? `grant_type=refresh_token&refresh_token=${token.value}` : `token=${token.value}`
      const sent = performance.now()
      const reply = await client.request({ path: pathname, method: 'POST', headers, body })
      const text = await reply.body.text()
      timesUs[answers++ % MOST] = (performance.now() - sent) * 1000
      if (reply.statusCode !== 200) throw new Error(`${task.kind}: ${reply.statusCode} ${text}`)
      const answer = JSON.parse(text) as Record<string, unknown>
      if (task.kind === 'refresh') token.value = refreshed(answer, token.value)
      else judge(answer.active === true && answer.sub === token.sub, text)
    }
  }
  await Promise.all(workers.map(work))
  const seconds = (performance.now() - began) / 1000
  await Promise.all(workers.map(({ client }) => client.close()))
  const sorted = timesUs.slice(0, Math.min(answers, MOST)).sort()
  const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0
  return {
    perSecond: answers / seconds,
    answers,
    p50Us: at(0.5),
    p99Us: at(0.99),
    tokens: workers.flatMap(({ tokens }) => tokens),
  }
}

/** @returns the successor, when the answer is one of RFC 6749 §5.1 with a new refresh token. */
function refreshed(answer: Record<string, unknown>, sent: string): string {
  const { access_token, token_type, expires_in, refresh_token } = answer
  const issued = typeof access_token === 'string' && access_token !== '' && /^bearer$/i.test(String(token_type))
  const rotated = typeof refresh_token === 'string' && refresh_token !== '' && refresh_token !== sent
  judge(issued && rotated && typeof expires_in === 'number' && expires_in > 0, JSON.stringify(Object.keys(answer)))
  return refresh_token as string
}

function judge(right: boolean, what: string): void {
  if (!right) throw new Error(`wrong answer: ${what}`)
}

process.on('message', async (task: LoadTask) => {
  process.send?.(await run(task))
})
process.on('disconnect', () => process.exit(0))
