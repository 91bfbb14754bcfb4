/** One codec per record of the contracts. */
import { type Codec, codec } from './codec.ts'
import { published } from './generated/published.ts'
import * as schemas from './generated/schemas.ts'
import type * as types from './generated/types.ts'

export const signalCodec: Codec<types.Signal> = codec(schemas.signalSchema)
export const checkpointCodec: Codec<types.Checkpoint> = codec(schemas.checkpointSchema)
export const epochClaimCodec: Codec<types.EpochClaim> = codec(schemas.epochClaimSchema)
export const trustBundleCodec: Codec<types.TrustBundle> = codec(schemas.trustBundleSchema)
export const envelopeClaimsCodec: Codec<types.EnvelopeClaims> = codec(schemas.envelopeClaimsSchema)
/** The first version, which envelopes that say no more are written in still; the newest is its bytes and more behind. */
export const envelopeClaimsV1Codec: Codec<Omit<types.EnvelopeClaims, 'relies_on' | 'succession'>> = codec(
  versionOf('EnvelopeClaims', 1),
)
export const decisionBatchCodec: Codec<types.DecisionBatch> = codec(schemas.decisionBatchSchema)
export const progressCodec: Codec<types.Progress> = codec(schemas.progressSchema)
export const registrationCodec: Codec<types.Registration> = codec(schemas.registrationSchema)
export const journeyEventCodec: Codec<types.JourneyEvent> = codec(schemas.journeyEventSchema)
export const invoiceExportCodec: Codec<types.InvoiceExport> = codec(schemas.invoiceExportSchema)
export const paymentRunCodec: Codec<types.PaymentRun> = codec(schemas.paymentRunSchema)
export const emailSendCodec: Codec<types.EmailSend> = codec(schemas.emailSendSchema)
export const reportBuildCodec: Codec<types.ReportBuild> = codec(schemas.reportBuildSchema)

function versionOf(name: string, version: number): object {
  const kept = published.find((one) => one.name === `countersign.${name}` && one.version === version)
  if (kept === undefined) throw new RangeError(`${name} version ${version} was never published`)
  return kept.schema
}
