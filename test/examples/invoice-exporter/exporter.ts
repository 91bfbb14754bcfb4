/** An ordinary kafkajs consumer that exports the invoices it is asked for. It knows nothing of who asked. */
import { appendFileSync } from 'node:fs'
import { SchemaRegistry } from '@kafkajs/confluent-schema-registry'
import { Kafka } from 'kafkajs'

const {
  KAFKA_BROKERS = '127.0.0.1:9092',
  REGISTRY_URL = 'http://127.0.0.1:8081',
  EXPORTS = 'exports.txt',
} = process.env
const brokers = KAFKA_BROKERS.split(',')
const registryUrl = REGISTRY_URL
const registry = new SchemaRegistry({ host: registryUrl })

interface Invoice {
  invoice_id: string
  format: string
}

async function exportInvoice({ invoice_id, format }: Invoice): Promise<void> {
  appendFileSync(EXPORTS, `${invoice_id}.${format}\n`)
}

const consumer = new Kafka({ brokers }).consumer({ groupId: 'exporter' })
await consumer.connect()
await consumer.subscribe({ topics: ['invoices.export.v1'], fromBeginning: true })
await consumer.run({
  eachMessage: async ({ message }) => exportInvoice(await registry.decode(message.value as Buffer)),
})
process.once('SIGTERM', () => consumer.disconnect())
