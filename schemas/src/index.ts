/** Avro contracts, topic catalogue, generated types and codecs. Imports nothing of Countersign. */
export {
  type Catalogue,
  type CatalogueOptions,
  catalogue,
  exampleCatalogue,
  exampleJobTopics,
  type JobTopic,
  type JobTopicNames,
  type PayloadSchema,
  payloadCodec,
  type TopicEntry,
  type TopicRole,
} from './catalogue.ts'
export { type Codec, codec } from './codec.ts'
export { decisionsIntegrity, encodeDecisions, readDecisions } from './decisions.ts'
export { type Framed, frame, unframe } from './frame.ts'
export type * from './generated/types.ts'
export * from './headers.ts'
export { readTold, type Told } from './progress.ts'
export * from './records.ts'
export {
  FIRST_USER_SCHEMA_ID,
  type SchemaEntry,
  type SchemaIdTable,
  schemaEntries,
  schemaIdTable,
} from './schema-ids.ts'
export { signalId } from './signal-id.ts'
export {
  logByTenant,
  logIdOf,
  logNameOf,
  MAIN_LOG,
  type MoreLog,
  readSignalsLogs,
  type SignalsLog,
  signalsLogs,
} from './signals-logs.ts'
export { olderVersions } from './versions.ts'
