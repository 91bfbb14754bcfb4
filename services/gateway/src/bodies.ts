/** Bodies on their way through. */
import { Transform } from 'node:stream'
import { BodyTooLarge } from './upstreams.ts'

/** @returns the same bytes, cut off with {BodyTooLarge} past `most`. Trailers are left behind. */
export function limited(body: NodeJS.ReadableStream, most: number): Transform {
  let size = 0
  const counting = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      size += chunk.length
      done(size > most ? new BodyTooLarge() : null, chunk)
    },
  })
  // Who sends goes away: what is sent on must not look complete.
  body.once('error', (error) => counting.destroy(error))
  body.once('aborted', () => counting.destroy(new Error('aborted')))
  return body.pipe(counting)
}
