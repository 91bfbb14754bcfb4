/** The topics of the test on Kafka, as `--catalogue` names them. */
import { type Catalogue, catalogue, invoiceExportCodec } from '@countersign/schemas'

const topics: Catalogue = catalogue([
  { logical: 'command-line', audience: 'billing-export', payload: invoiceExportCodec.name, partitions: 1 },
])

export default topics
