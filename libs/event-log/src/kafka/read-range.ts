/** Reads a range through a tail of its own. */
import type { LogRecord } from '../port.ts'
import { KafkaTail, type TailContext } from './tail.ts'

/** Records of [from, to) that the log still holds, in order, chunk by chunk; the tail waits for the reader. */
export async function* readRange(context: TailContext, from: number, to: number): AsyncGenerator<readonly LogRecord[]> {
  const bounds = await context.bounds()
  const first = Math.max(from, bounds.start)
  const last = Math.min(to, bounds.end)
  if (first >= last) return

  // One chunk at a time: the tail is held in its handler until the reader asks for more.
  let offer: (chunk: readonly LogRecord[] | null) => void = () => {}
  let taken: () => void = () => {}
  let next = new Promise<readonly LogRecord[] | null>((resolve) => (offer = resolve))
  const tail = new KafkaTail(context, first, {
    records(batch) {
      const wait = new Promise<void>((resolve) => (taken = resolve))
      offer(batch)
      return wait
    },
    outOfRange: () => offer(null),
  })
  try {
    for (;;) {
      const chunk = await next
      next = new Promise((resolve) => (offer = resolve))
      if (chunk === null) return
      const wanted = chunk.filter(({ offset }) => offset < last)
      if (wanted.length > 0) yield wanted
      if (chunk.at(-1)!.offset + 1 >= last) return
      taken()
    }
  } finally {
    taken()
    await tail.stop()
  }
}
