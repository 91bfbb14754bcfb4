/** Gives kafkajs 2.2.4 a faster writer of produce requests. ADR 0088. */
import { createRequire } from 'node:module'
import { type Crc32c, type ProduceRequest, writeProduceRequest } from './produce-request.ts'

interface KafkaRequest {
  /** An `Encoder`: what kafkajs does with it is to copy its bytes. */
  encode(): Promise<{ readonly buf: Buffer; readonly buffer: Buffer }>
}

let done = false

/** Applies it in this process, to every producer of this copy of kafkajs. Idempotent; another layout is left as it is. */
export function writeProducesFast(): void {
  if (done) return
  done = true
  const require = createRequire(import.meta.url)
  let found: NodeJS.Module | undefined
  let crc32c: Crc32c | undefined
  try {
    crc32c = require('kafkajs/src/protocol/recordBatch/crc32C')
    const path = require.resolve('kafkajs/src/protocol/requests/produce/v7/request')
    require(path)
    found = require.cache[path]
  } catch {
    return
  }
  const original = found?.exports as ((request: ProduceRequest) => KafkaRequest) | undefined
  if (found === undefined || typeof original !== 'function' || typeof crc32c !== 'function') return
  const sum = crc32c
  // Looked up by kafkajs at each request, so that its own producers, made before or after, write by it.
  found.exports = (request: ProduceRequest): KafkaRequest => {
    const theirs = original(request)
    return {
      ...theirs,
      encode: async () => {
        const bytes = writeProduceRequest(request, Date.now(), sum)
        return bytes === null ? theirs.encode() : { buf: bytes, buffer: bytes }
      },
    }
  }
}
