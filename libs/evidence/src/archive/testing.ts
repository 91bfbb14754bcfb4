/** For tests: an archive of all that stands on a log. */
import { exampleCatalogue } from '@countersign/schemas'
import type { SampleLog } from '../source/testing.ts'
import { Archive } from './archive.ts'

export async function archiveAll(path: string, { log }: Pick<SampleLog, 'log'>): Promise<Archive> {
  const archive = new Archive({ path, catalogue: exampleCatalogue, schemas: log.schemas })
  for (const { name: topic, partitions } of exampleCatalogue.entries) {
    for (let partition = 0; partition < partitions; partition++) {
      const { start: from, end: to } = await log.bounds(topic, partition)
      for await (const chunk of log.read({ topic, partition, from, to })) archive.append(chunk)
    }
  }
  return archive
}
