/**
 * A follower's state at a proven checkpoint, as bytes and back. The view goes in its own snapshot, the
 * rest beside it as its attachment. Not a proof: the next checkpoint has to state it again.
 */
import type { Restored, View } from '@countersign/revocation'
import { checkpointCodec } from '@countersign/schemas'
import type { Noted, Passed } from './chain.ts'
import type { Holder } from './epochs.ts'
import type { LogIdentity } from './trust.ts'

export interface FollowerState {
  readonly identity: LogIdentity
  /** Bundle in force, as it stood on the log. */
  readonly bundle: { readonly body: Buffer; readonly signature: Buffer }
  readonly holder: Holder
  readonly last: Passed
  readonly noted: Noted
  readonly outboxSeq: number
  readonly view: View
}

const VERSION = 1

/** @returns the bytes in chunks; take all before the view changes. */
export function encodeState(state: FollowerState): Generator<Buffer> {
  const { identity, bundle, holder, last, outboxSeq, view } = state
  const attachment = JSON.stringify({
    version: VERSION,
    predecessors: [...identity.predecessors],
    bundle: bundle.body.toString('base64'),
    bundleSignature: bundle.signature.toString('base64'),
    notary: holder.notary,
    checkpoint: checkpointCodec.encode(last.checkpoint).toString('base64'),
    timestamp: last.timestamp,
    hash: last.hash.toString('base64'),
    outboxSeq,
  })
  return view.snapshot({
    logId: identity.logId,
    offset: last.offset,
    epoch: holder.epoch,
    sequence: last.checkpoint.sequence,
    bundleVersion: last.checkpoint.bundle_version,
    attachment: Buffer.from(attachment),
  })
}

/** @returns the state, or null when the attachment is not one of this version. */
export function decodeState({ view, position }: Restored<View>): FollowerState | null {
  try {
    const kept = JSON.parse(Buffer.from(position.attachment).toString('utf8'))
    if (kept.version !== VERSION) return null
    const bytes = (text: string): Buffer => Buffer.from(text, 'base64')
    const checkpoint = checkpointCodec.decode(bytes(kept.checkpoint))
    const { offset, logId, epoch } = position
    const outboxSeq = Number(kept.outboxSeq)
    return {
      identity: { logId, predecessors: new Map(kept.predecessors) },
      bundle: { body: bytes(kept.bundle), signature: bytes(kept.bundleSignature) },
      holder: { epoch, notary: String(kept.notary) },
      last: { checkpoint, offset, timestamp: Number(kept.timestamp), hash: bytes(kept.hash) },
      noted: { digest: view.digest(), count: view.count, outboxSeq },
      outboxSeq,
      view,
    }
  } catch {
    return null
  }
}
