/** From a catalogue to the topics a log must have. */
import type { LogCatalogue, TopicSpec } from './port.ts'

/**
 * @param options.windowMs what the retention rule `window` means, milliseconds.
 * @returns one spec per catalogue entry, in catalogue order.
 */
export function topicSpecs(catalogue: LogCatalogue, options: { windowMs: number }): TopicSpec[] {
  return catalogue.entries.map(({ name, partitions, retention }) => ({
    name,
    partitions,
    retentionMs: retention === 'window' ? options.windowMs : retention,
  }))
}
