/** What operators do here, on the journey: who, to whom, with what outcome, under the id identity has it by too. */
import type { Journey, JourneyEvent } from '@countersign/journey'
import type { Clock } from '@countersign/kernel'
import type { FastifyRequest } from 'fastify'

/** What is known of an act; the request and its operator are added. */
export type Act = Partial<JourneyEvent> & Pick<JourneyEvent, 'outcome' | 'cause'>

export class Audit {
  readonly #journey: Journey
  readonly #clock: Clock

  constructor(journey: Journey, clock: Clock) {
    this.#journey = journey
    this.#clock = clock
  }

  /** Never throws, and waits for nothing: what the log cannot take now is sent when it can. */
  note({ id, operator }: FastifyRequest, act: Act, began: number = this.#clock.monotonic()): void {
    this.#journey.record('administration', {
      actor: operator?.sub ?? 'unknown',
      acr: operator?.acr ?? null,
      client: 'console',
      requestId: id,
      latencyMs: this.#clock.monotonic() - began,
      ...act,
    })
  }
}
