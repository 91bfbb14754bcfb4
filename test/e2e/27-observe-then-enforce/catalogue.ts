/** The topics of this test, as `--catalogue` names them. */
import { type Catalogue, catalogue, invoiceExportCodec } from '@countersign/schemas'

const topics: Catalogue = catalogue([
  { logical: 'observe-then-enforce', audience: 'billing-export', payload: invoiceExportCodec.name, partitions: 3 },
])

export default topics
