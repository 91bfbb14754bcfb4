/** Revokes sessions at identity at an even rate, whatever the answers take, and notes when each answer came. */
import { type Dispatcher, Pool } from 'undici'
import { OPERATOR_SECRET } from '../../identity/site.ts'

/** A revocation that identity acknowledged. */
export interface Acknowledged {
  readonly session: string
  /** Nanoseconds of the machine's monotonic clock. */
  readonly askedAt: bigint
  readonly acknowledgedAt: bigint
}

export interface Revoked {
  readonly acknowledged: readonly Acknowledged[]
  /** Answered in any other way. */
  readonly others: number
}

export class Revoker {
  readonly #pool: Pool

  /** @param url of identity. */
  constructor(url: string) {
    this.#pool = new Pool(url, { connections: 32 })
  }

  /** @param goesOn asked before each; the rest is not revoked once it says no. */
  async revoke(sessions: readonly string[], perSecond: number, goesOn: () => boolean = () => true): Promise<Revoked> {
    const answers: Promise<Acknowledged | null>[] = []
    const began = performance.now()
    for (const [i, session] of sessions.entries()) {
      const wait = began + (i * 1000) / perSecond - performance.now()
      if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait))
      if (!goesOn()) break
      answers.push(this.#one(session))
    }
    const all = await Promise.all(answers)
    const acknowledged = all.filter((answer) => answer !== null)
    return { acknowledged, others: all.length - acknowledged.length }
  }

  async #one(session: string): Promise<Acknowledged | null> {
    const request: Dispatcher.RequestOptions = {
      path: '/v1/revocations',
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${OPERATOR_SECRET}` },
      body: JSON.stringify({ target: { kind: 'session', id: session }, reason: 'suspension' }),
    }
    const askedAt = process.hrtime.bigint()
    const { body } = await this.#pool.request(request)
    const answer = (await body.json()) as { state?: string; position?: unknown }
    const acknowledgedAt = process.hrtime.bigint()
    return answer.state === 'acknowledged' && answer.position ? { session, askedAt, acknowledgedAt } : null
  }

  stop(): Promise<void> {
    return this.#pool.close()
  }
}
