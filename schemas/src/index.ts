/** Avro contracts, topic catalogue, generated types and codecs. Imports nothing of Countersign. */
export { type Codec, codec } from './codec.ts'
export * from './records.ts'
export type * from './generated/types.ts'
