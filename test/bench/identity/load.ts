/** The load, in a process of its own. Each worker has tokens of its own. */
import { closedLoop, type Turns } from '../closed-loop.ts'
import type { LoadResult, LoadTask } from './load-process.ts'

type Held = { readonly sub: string; value: string }

async function run(task: LoadTask): Promise<LoadResult> {
  const { origin, pathname } = new URL(task.endpoint.url)
  const shares = Array.from({ length: task.concurrency }, (_, w): Held[] =>
    task.tokens.filter((_, i) => i % task.concurrency === w).map((token) => ({ ...token })),
  )
  const workers = shares.map((held) => turns(task, pathname, held))
  const result = await closedLoop(origin, task.ms, workers)
  return { ...result, tokens: shares.flat() }
}

function turns(task: LoadTask, path: string, held: readonly Held[]): Turns {
  const headers = {
    authorization: task.endpoint.authorization,
    'content-type': 'application/x-www-form-urlencoded',
  }
  const at = (turn: number): Held => held[turn % held.length] as Held
  return {
    request: (turn) => {
      const { value } = at(turn)
      const body = task.kind === 'refresh' ? `grant_type=refresh_token&refresh_token=${value}` : `token=${value}`
      return { path, method: 'POST', headers, body }
    },
    judge(status, text, turn) {
      const token = at(turn)
      if (status !== 200) throw new Error(`${task.kind}: ${status} ${text}`)
      const answer = JSON.parse(text) as Record<string, unknown>
      if (task.kind === 'refresh') token.value = refreshed(answer, token.value)
      else judge(answer.active === true && answer.sub === token.sub, text)
    },
  }
}

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
