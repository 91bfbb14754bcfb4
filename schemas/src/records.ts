/** One codec per record of the contracts. */
import { type Codec, codec } from './codec.ts'
import * as schemas from './generated/schemas.ts'
import type * as types from './generated/types.ts'

export const signalCodec: Codec<types.Signal> = codec(schemas.signalSchema)
export const checkpointCodec: Codec<types.Checkpoint> = codec(schemas.checkpointSchema)
export const epochClaimCodec: Codec<types.EpochClaim> = codec(schemas.epochClaimSchema)
export const trustBundleCodec: Codec<types.TrustBundle> = codec(schemas.trustBundleSchema)
export const envelopeClaimsCodec: Codec<types.EnvelopeClaims> = codec(schemas.envelopeClaimsSchema)
export const decisionBatchCodec: Codec<types.DecisionBatch> = codec(schemas.decisionBatchSchema)
export const progressCodec: Codec<types.Progress> = codec(schemas.progressSchema)
export const journeyEventCodec: Codec<types.JourneyEvent> = codec(schemas.journeyEventSchema)
export const invoiceExportCodec: Codec<types.InvoiceExport> = codec(schemas.invoiceExportSchema)
export const paymentRunCodec: Codec<types.PaymentRun> = codec(schemas.paymentRunSchema)
export const emailSendCodec: Codec<types.EmailSend> = codec(schemas.emailSendSchema)
export const reportBuildCodec: Codec<types.ReportBuild> = codec(schemas.reportBuildSchema)
