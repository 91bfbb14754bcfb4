/** Makes jobs: those that come while signals do, those that one consumer finds waiting, and those that are only judged. */
import { writeFileSync } from 'node:fs'
import { ed25519Key, type SigningKey, seal } from '@countersign/envelope'
import { type EventLog, openLog } from '@countersign/event-log'
import { systemRandom } from '@countersign/kernel'
import { type Codec, ENVELOPE_HEADER, frame } from '@countersign/schemas'
import { AUDIENCE, type Export } from '../consume/contract.ts'
import { type Draft, draft } from '../decide/workload.ts'
import {
  type BeginProducing,
  type Expected,
  exposureCatalogue,
  LIVE,
  PAYLOAD_SCHEMA,
  type ProducerOrder,
} from './contract.ts'

/** Jobs of one moment are sealed together and go to one partition; the partitions take turns. */
const TICK_MS = 10
/** Sealed together in what is made beforehand. */
const TREE = 256
const NOTE_BYTES = 96

interface Job {
  readonly draft: Draft
  readonly envelope: Buffer
}

class Producer {
  readonly #log: EventLog
  readonly #logId: string
  readonly #key: SigningKey
  readonly #codec = exposureCatalogue.payloadCodec(PAYLOAD_SCHEMA) as Codec<unknown>
  #made = 0
  #batches = 0
  #sent = 0
  #perSecond = 0
  #streaming: Promise<void> = Promise.resolve()

  static async begin({ place, logId }: BeginProducing): Promise<Producer> {
    const { brokers: kafkaBrokers, registryUrl } = place
    const log = await openLog(
      { kafkaBrokers, registryUrl },
      { catalogue: exposureCatalogue, clientId: 'exposure-jobs' },
    )
    return new Producer(log, logId, ed25519Key(place.envelopeKeyId, place.envelopeKeyPem))
  }

  private constructor(log: EventLog, logId: string, key: SigningKey) {
    this.#log = log
    this.#logId = logId
    this.#key = key
  }

  prepare(count: number, file: string): string[] {
    const lines: string[] = []
    const sessions: string[] = []
    while (lines.length < count) {
      for (const { draft: each, envelope } of this.#jobs(LIVE, Math.min(TREE, count - lines.length))) {
        const session = each.claims.tctx.session ?? ''
        const text = (bytes: Buffer): string => bytes.toString('base64')
        const line: Expected = { session, envelope: text(envelope), key: text(each.key), value: text(each.value) }
        sessions.push(session)
        lines.push(JSON.stringify(line))
      }
    }
    writeFileSync(file, lines.join('\n'))
    return sessions
  }

  async fill(topic: string, count: number): Promise<void> {
    let appending: Promise<unknown> = Promise.resolve()
    for (let made = 0; made < count; ) {
      const jobs = this.#jobs(topic, Math.min(TREE, count - made))
      made += jobs.length
      // The next are made while these travel.
      await appending
      appending = this.#append(topic, jobs)
    }
    await appending
  }

  /** @returns jobs sent since the start. */
  async stream(perSecond: number): Promise<number> {
    const running = this.#perSecond > 0
    this.#perSecond = perSecond
    if (perSecond > 0 && !running) this.#streaming = this.#stream()
    if (perSecond === 0) await this.#streaming
    return this.#sent
  }

  async #stream(): Promise<void> {
    const appending = new Set<Promise<unknown>>()
    const began = performance.now()
    let due = 0
    for (let tick = 1; this.#perSecond > 0; tick++) {
      const wait = began + tick * TICK_MS - performance.now()
      if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait))
      due += (this.#perSecond * TICK_MS) / 1000
      const jobs = this.#jobs(LIVE, Math.floor(due))
      due -= jobs.length
      this.#sent += jobs.length
      const sending = this.#append(LIVE, jobs).finally(() => appending.delete(sending))
      appending.add(sending)
    }
    await Promise.all(appending)
  }

  async #append(topic: string, jobs: readonly Job[]): Promise<void> {
    const { name = '', partitions = 1 } = exposureCatalogue.jobTopic(topic) ?? {}
    const partition = this.#batches++ % partitions
    const records = jobs.map(({ draft: { key, value }, envelope }) => ({
      key,
      value,
      headers: [[ENVELOPE_HEADER, envelope]] as [string, Buffer][],
      partition,
    }))
    await this.#log.append(name, records)
  }

  #jobs(topic: string, count: number): Job[] {
    const now = Date.now()
    const about = { now, topic, audience: AUDIENCE, value: (n: number) => this.#value(n) }
    const position = { log_id: this.#logId, offset: 0 }
    const drafts = Array.from({ length: count }, (): Draft => {
      const made = draft(this.#made++, systemRandom, about)
      return { ...made, claims: { ...made.claims, tctx: { ...made.claims.tctx, position } } }
    })
    if (count === 0) return []
    const envelopes = seal(
      drafts.map(({ claims }) => claims),
      this.#key,
    )
    return drafts.map((each, i) => ({ draft: each, envelope: envelopes[i] as Buffer }))
  }

  #value(n: number): Buffer {
    const value: Export = {
      invoice_id: `inv-${n}`,
      format: 'csv',
      note: systemRandom.bytes(NOTE_BYTES).toString('base64'),
    }
    return frame(this.#log.schemas.idOf(PAYLOAD_SCHEMA), this.#codec.encode(value))
  }
}

let producer: Producer | null = null

process.on('message', async (order: ProducerOrder) => {
  if (order.type === 'begin') {
    producer = await Producer.begin(order)
    process.send?.('done')
    return
  }
  if (producer === null) throw new Error('not begun')
  if (order.type === 'prepare') process.send?.(producer.prepare(order.count, order.file))
  else if (order.type === 'stream') process.send?.(await producer.stream(order.perSecond))
  else {
    await producer.fill(order.topic, order.count)
    process.send?.('done')
  }
})
process.on('disconnect', () => process.exit(0))
