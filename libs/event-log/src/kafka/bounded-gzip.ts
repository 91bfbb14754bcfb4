/** kafkajs inflates without a limit: a small batch of a foreign producer could take all memory. */
import { promisify } from 'node:util'
import { gunzip, gzip } from 'node:zlib'
import kafkajs from 'kafkajs'

/** Most one record batch may inflate to, bytes: 64 full batches of the default broker limit. */
const MAX_INFLATED_BYTES = 64 * 1_048_576

const inflate = promisify<Buffer, { maxOutputLength: number }, Buffer>(gunzip)
const deflate = promisify<Buffer, Buffer>(gzip)

/** Replaces kafkajs' gzip codec in this process. Idempotent. */
export function boundGzip(): void {
  kafkajs.CompressionCodecs[kafkajs.CompressionTypes.GZIP] = () => ({
    compress: (encoder: { buffer: Buffer }) => deflate(encoder.buffer),
    decompress: (bytes: Buffer) => inflate(bytes, { maxOutputLength: MAX_INFLATED_BYTES }),
  })
}
