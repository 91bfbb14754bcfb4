/** `audit status`: what an archive holds, and the last checkpoint, to be kept elsewhere. Believes the file; `verify` does not. */

import { anchorOf } from '@countersign/evidence'
import { rfc3339 } from '@countersign/kernel'
import { EXIT, type ExitCode } from '../exit-codes.ts'
import { print, type Terminal } from '../terminal.ts'
import { type ArchiveOptions, openArchive } from './place.ts'

const HEAD = ['Topic', 'Partitions', 'Rows up to offset']

export function auditStatus(options: ArchiveOptions, terminal: Terminal): ExitCode {
  const file = openArchive(options)
  try {
    const { first, last } = file.ends()
    const anchor = anchorOf(file)
    const cut = file.lastCut()
    const lanes = file.lanes().filter(({ last: offset }) => offset >= 0)
    const checkpoint = anchor?.statement.kind === 'checkpoint' ? anchor.statement : null
    const asOf = checkpoint && checkpoint.as_of > 0 ? rfc3339(checkpoint.as_of) : null
    const topics = [...Map.groupBy(lanes, ({ topic }) => topic)].sort(([one], [other]) => (one < other ? -1 : 1))
    const rows = topics.map(([topic, parts]) => [
      topic,
      String(parts.length),
      parts.map(({ last: offset }) => offset).join(' '),
    ])
    // What verify takes as --anchor is a member of the same document.
    const json = {
      ...{ archive: file.id, first, last, asOf, removed: cut?.rows_in_all ?? 0, ...anchor },
      partitions: lanes.map(({ topic, partition, last: offset }) => ({ topic, partition, offset })),
    }
    print(terminal, options.output, { json, head: HEAD, rows })
    terminal.say(`Archive ${file.id}, rows ${first} to ${last}${cut ? `, ${cut.rows_in_all} cut away before` : ''}.`)
    terminal.say(
      checkpoint === null
        ? 'No checkpoint was signed yet.'
        : `Last checkpoint at row ${checkpoint.seq}, ${rfc3339(checkpoint.at)}, hash ${checkpoint.hash}.`,
    )
    terminal.say(asOf === null ? 'It has not caught up with the log yet.' : `Complete as of ${asOf}.`)
    return EXIT.ok
  } finally {
    file.close()
  }
}
