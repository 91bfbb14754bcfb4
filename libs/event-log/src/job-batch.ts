/** Runs job handlers over messages the way kafkajs does, for adapters that bring their own fetch loop. */
import type { EachBatchPayload, JobHandlers, JobMessage } from './port.ts'

/** What a fetch loop provides per batch. */
export type BatchControl = Pick<
  EachBatchPayload,
  'resolveOffset' | 'heartbeat' | 'pause' | 'commitOffsetsIfNecessary' | 'isRunning' | 'isStale'
>

/** Hands one batch to the handler. Rejects with what the handler threw. */
export async function runBatch(
  handlers: JobHandlers,
  batch: { topic: string; partition: number; messages: JobMessage[] },
  control: BatchControl,
): Promise<void> {
  if (handlers.eachBatch) return handlers.eachBatch({ batch, ...control })
  const { topic, partition } = batch
  let paused = false
  const pause = (): (() => void) => {
    const resume = control.pause()
    paused = true
    return resume
  }
  for (const message of batch.messages) {
    if (!control.isRunning() || control.isStale()) return
    const { offset } = message
    await handlers.eachMessage?.({ topic, partition, message, heartbeat: control.heartbeat, pause })
    // Lowered: given back.
    if (message.offset !== offset) return
    control.resolveOffset(offset)
    if (paused) return
  }
}
