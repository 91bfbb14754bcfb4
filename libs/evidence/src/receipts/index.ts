export { Consumers, type ConsumersOptions, type Instance, type Reached, type ToldOfLog } from './consumers.ts'
export type { Receipt, ReceiptConsumer, ReceiptPosition, ReceiptState } from './receipt.ts'
export {
  type AskedReceipt,
  type ConsumerExposure,
  gatherReceipts,
  type ReceiptEvidence,
  Receipts,
  type ReceiptsOptions,
  receiptOf,
} from './receipts.ts'
export { type StandingOptions, type StandingSignal, StandingSignals } from './standing.ts'
