/** The EventLog adapter for Apache Kafka with a Confluent-compatible schema registry. */
export type { KafkaTopicState, ReplicationOptions } from './admin.ts'
export type { KafkaConnection } from './client.ts'
export { type KafkaLog, type KafkaLogOptions, openKafkaLog } from './log.ts'
export { type Provisioned, type ProvisionOptions, planKafka, provisionKafka } from './provision.ts'
export { type CatalogueSchema, type KafkaCatalogue, type RegisteredSubject, subjectsOf } from './registry.ts'
