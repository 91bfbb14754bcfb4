/** Produce requests as kafkajs writes them, complete on the wire, and the answers to them. */
import { createRequire } from 'node:module'
import type { Message } from './messages.ts'

interface Encoded {
  readonly buffer: Buffer
}
interface Answer {
  readonly topics: readonly { readonly partitions: readonly { readonly baseOffset: string }[] }[]
}

// The client keeps its protocol to itself; what is measured must be sent as it would send it.
const required = createRequire(import.meta.url)
const produce = required('kafkajs/src/protocol/requests/produce/v7/request') as (body: object) => object
const framed = required('kafkajs/src/protocol/request') as (request: object) => Promise<Encoded>
const response = required('kafkajs/src/protocol/requests/produce/v7/response') as {
  decode(bytes: Buffer): Promise<Answer>
  parse(answer: Answer): Promise<Answer>
}

const CLIENT = 'bench-load'
const ALL_REPLICAS = -1
const TIMEOUT_MS = 30_000

/** @returns one record batch in one request: Produce v7, record batch format 2, uncompressed, CRC32C. */
export async function produceRequest(
  correlationId: number,
  topic: string,
  partition: number,
  messages: readonly Message[],
): Promise<Buffer> {
  const topicData = [{ topic, partitions: [{ partition, messages }] }]
  const request = produce({ acks: ALL_REPLICAS, timeout: TIMEOUT_MS, topicData })
  return (await framed({ correlationId, clientId: CLIENT, request })).buffer
}

/** @param body of the answer, behind its correlation id. @returns offset of the first record. @throws when refused. */
export async function producedAt(body: Buffer): Promise<number> {
  const { topics } = await response.parse(await response.decode(body))
  return Number(topics[0]?.partitions[0]?.baseOffset)
}
