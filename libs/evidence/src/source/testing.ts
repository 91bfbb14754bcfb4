/** For tests: a log on a file, and hands that write something of everything to it. */
import { seal } from '@countersign/envelope'
import { NOW, testAuthority, testClaims, testEvent, testId } from '@countersign/envelope/testing'
import type { Appended, EventLog, Headers } from '@countersign/event-log'
import { openSqliteLog } from '@countersign/event-log/sqlite'
import { FakeClock } from '@countersign/kernel/testing'
import {
  CORRELATION_HEADER,
  type DecisionException,
  ENVELOPE_HEADER,
  encodeDecisions,
  exampleCatalogue,
  frame,
  type JourneyEvent,
  journeyEventCodec,
  ORIGIN_HEADER,
  REASON_HEADER,
  SIGNATURE_HEADER,
  signalCodec,
  TRACEPARENT_HEADER,
} from '@countersign/schemas'

export const TOPICS = {
  jobs: 'invoices.export.v1',
  dead: 'invoices.export.dead.v1',
  decisions: 'countersign.decisions.v1',
  journey: 'countersign.journey.v1',
  signals: 'countersign.signals.v1',
  progress: 'countersign.progress.v1',
} as const

export const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736'
export const CORRELATION = 'cor_Qm9vIQ-12'
export const SESSION = 'ses_2c26b46b68ffc68f'
/** In every payload: what must be found nowhere else. */
export const CANARY = 'payload-canary-4711'

const authority = testAuthority()
const NO_EVENT: Omit<JourneyEvent, 'id' | 'at' | 'action' | 'actor' | 'outcome'> = {
  ...{ sub: null, tenant: null, session: null, family: null, token: null, parent: null, origin: null, device: null },
  ...{ client: null, audience: [], scopes: [], cause: null, target: null, effect: null, revocation: null, rule: null },
  ...{ latency_ms: 1, request_id: null, trace_id: null, txn: null, acr: null, route: null, lineage: [] },
  correlation_id: null,
}

/** A log in a file. Time stands still until told. */
export class SampleLog {
  readonly log: EventLog
  readonly clock: FakeClock

  private constructor(log: EventLog, clock: FakeClock) {
    this.log = log
    this.clock = clock
  }

  static async open(path: string): Promise<SampleLog> {
    const clock = new FakeClock(NOW)
    return new SampleLog(await openSqliteLog({ path, catalogue: exampleCatalogue, clock }), clock)
  }

  /** A job of `testClaims`, event id `testId(index)`, under a sealed envelope. */
  job(index: number, headers: Headers = []): Promise<Appended> {
    const value = Buffer.from(`${CANARY} ${index}`)
    const claims = testClaims({ event: testEvent(index, value) })
    const [envelope] = seal([claims], authority.keys.envelope)
    return this.append(TOPICS.jobs, claims.event.key, value, [
      [ENVELOPE_HEADER, envelope as Buffer],
      [CORRELATION_HEADER, Buffer.from(`${CORRELATION}${index}`)],
      [TRACEPARENT_HEADER, Buffer.from(`00-${TRACE}-00f067aa0ba902b7-01`)],
      ['x-of-the-user', Buffer.from(CANARY)],
      ...headers,
    ])
  }

  /** The dead-lettered copy of something at `origin` whose envelope nobody can read. */
  dead(origin: string): Promise<Appended> {
    return this.append(TOPICS.dead, null, null, [
      [ENVELOPE_HEADER, Buffer.from('no envelope')],
      [REASON_HEADER, Buffer.from('envelope_malformed')],
      [ORIGIN_HEADER, Buffer.from(origin)],
    ])
  }

  /** Allows jobs `first` to `last` (events of these indexes at these offsets), with exceptions beside them. */
  decided(partition: number, first: number, last: number, exceptions: readonly DecisionException[] = []) {
    const ids = Array.from({ length: last - first + 1 }, (_, i) => testId(first + i))
    const body = encodeDecisions({
      ...{ consumer: 'worker-1', job_class: 'invoice-export', rule_version: 'r1', phase: 'final' },
      ...{ topic: TOPICS.jobs, logical_topic: 'invoices.export', partition, log_id: 'log-1' },
      ...{ view_offset: 1, as_of: NOW, bundle_version: 1, recorded_at: NOW, action: 'export' },
      ...{ allowed: [{ first, last }], event_ids: Buffer.concat(ids), objects: [`invoice:${first}`] },
      ...{ exceptions, effects: [], judged: [] },
    })
    return this.append(TOPICS.decisions, null, this.framed('DecisionBatch', body), [], partition)
  }

  journey(index: number, event: Partial<JourneyEvent> = {}): Promise<Appended> {
    const what = { id: testId(index), at: NOW, action: 'issuance', actor: 'usr_1', outcome: 'issued' } as const
    const body = journeyEventCodec.encode({ ...NO_EVENT, ...what, ...event })
    return this.append(TOPICS.journey, Buffer.from('usr_1'), this.framed('JourneyEvent', body), [])
  }

  signal(index: number, id: string = SESSION): Promise<Appended> {
    const body = signalCodec.encode({
      ...{ id: testId(index), seq: index, target: { kind: 'session', tenant: '', id }, effect: 'reason:logout' },
      ...{ fallback: 'logout', floor: NOW, cause: 'logout', initiator: 'usr_1' },
    })
    return this.append(TOPICS.signals, null, this.framed('Signal', body), [[SIGNATURE_HEADER, Buffer.from('signed')]])
  }

  async append(
    topic: string,
    key: Uint8Array | null,
    value: Uint8Array | null,
    headers: Headers,
    partition?: number,
  ): Promise<Appended> {
    const record = { key, value, headers, ...(partition !== undefined && { partition }) }
    const [appended] = await this.log.append(topic, [record])
    return appended as Appended
  }

  /** Something of everything, also of what is nothing. @returns places by name. */
  async fill(): Promise<Readonly<Record<'job' | 'unread' | 'dead' | 'decided' | 'journey' | 'signal', string>>> {
    const name = (topic: string, { partition, offset }: Appended): string => `${topic}/${partition}/${offset}`
    const job = name(TOPICS.jobs, await this.job(0))
    for (let i = 1; i < 20; i++) await this.job(i)
    const unread = name(TOPICS.jobs, await this.append(TOPICS.jobs, null, null, [], 0))
    const dead = name(TOPICS.dead, await this.dead(unread))
    const [, , offset] = unread.split('/')
    const exception: DecisionException = {
      ...{ offset: Number(offset), event_id: null, outcome: 'dead_lettered', reason: 'envelope_missing', rule: 'open' },
      ...{ sub: null, txn: null, object: 'invoice:broken', attempts: 0, observed: false, detail: null, judged: null },
    }
    const decided = name(TOPICS.decisions, await this.decided(0, 0, 3, [exception]))
    await this.append(TOPICS.decisions, null, Buffer.from('no decisions'), [], 0)
    const journey = name(TOPICS.journey, await this.journey(100, { session: SESSION, request_id: 'req_login' }))
    await this.journey(101, { action: 'logout', token: 'tok_1', trace_id: TRACE })
    const signal = name(TOPICS.signals, await this.signal(1))
    await this.append(TOPICS.signals, null, Buffer.from('no signal'), [])
    await this.append(TOPICS.progress, Buffer.from('worker-1'), Buffer.from('progress'), [
      [SIGNATURE_HEADER, Buffer.from('signed')],
    ])
    return { job, unread, dead, decided, journey, signal }
  }

  framed(name: string, body: Uint8Array): Buffer {
    return frame(this.log.schemas.idOf(`countersign.${name}`), body)
  }
}
