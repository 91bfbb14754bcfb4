/**
 * Answers that may outlast the judgement of their request. One that is short and says how short is not worth watching; all
 * others are cut when the authority of their request ends: an event stream at its end, so that its reader asks again and
 * is refused; anything else in the middle, so that nobody takes it for whole.
 */
import type { IncomingHttpHeaders, ServerResponse } from 'node:http'
import { PassThrough, type Readable } from 'node:stream'
import { type Clock, kibibytes, seconds } from '@countersign/kernel'
import type { StreamKind } from './open-connections.ts'

const SHORT = kibibytes(256)
const END_WITHIN = seconds(1)

/** @returns null for an answer that is not worth watching. */
export function streamKind(status: number, headers: IncomingHttpHeaders): Exclude<StreamKind, 'websocket'> | null {
  if (status < 200 || status === 204 || status === 304) return null
  if (/^text\/event-stream\s*(?:;|$)/i.test(headers['content-type'] ?? '')) return 'event_stream'
  const { 'content-length': length } = headers
  return length !== undefined && Number(length) <= SHORT ? null : 'body'
}

/** @returns what to send instead, and what ends it. */
export function cuttable(
  kind: Exclude<StreamKind, 'websocket'>,
  body: Readable,
  response: ServerResponse,
  clock: Clock,
): { readonly body: Readable; readonly cut: () => void } {
  if (kind === 'body') return { body, cut: () => cutOff(body, response) }
  const through = new PassThrough()
  let ended = false
  // To be destroyed by us is an error to it too.
  body.on('error', (error) => ended || through.destroy(error))
  through.on('close', () => body.destroy())
  return {
    body: body.pipe(through),
    cut() {
      ended = true
      body.unpipe(through)
      body.destroy()
      through.end()
      // Somebody who does not read would keep it open.
      clock.after(END_WITHIN, () => response.writableFinished || cutOff(through, response))
    },
  }
}

function cutOff(body: Readable, response: ServerResponse): void {
  response.destroy()
  body.destroy()
}
