/** One question to identity over HTTP, within a time. */
import type { Clock } from '@countersign/kernel'
import { tracedCall } from '@countersign/telemetry'
import { type Denial, denied } from './denial.ts'
import { readCapped } from './reading.ts'

export interface AskOptions {
  readonly clock: Clock
  /** Longest wait, milliseconds. @defaultValue 2000 */
  readonly timeoutMs?: number
  /** Default: the global `fetch`. */
  readonly fetch?: typeof fetch
}

/** `body` is empty unless the status is 200. */
export type Answer = { readonly ok: true; readonly status: number; readonly body: string } | Denial

/** Posts once; follows no redirect, reads no long answer. Never throws. */
export async function ask(
  endpoint: URL,
  question: { readonly headers: Readonly<Record<string, string>>; readonly body: string },
  { clock, timeoutMs = 2_000, fetch: send = fetch }: AskOptions,
): Promise<Answer> {
  const abort = new AbortController()
  const cancel = clock.after(timeoutMs, () => abort.abort())
  try {
    const { body } = question
    const response = await tracedCall('POST', endpoint, (trace) => {
      const headers = { ...question.headers, ...trace }
      return send(endpoint, { method: 'POST', redirect: 'error', signal: abort.signal, headers, body })
    })
    const { status } = response
    return { ok: true, status, body: status === 200 ? await readCapped(response) : '' }
  } catch {
    return denied('sessions_unavailable', abort.signal.aborted ? 'timeout' : 'away')
  } finally {
    cancel()
  }
}
