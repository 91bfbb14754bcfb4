/** Topics as they are, and how they differ from what the catalogue asks for. */

import type { TopicState } from '@countersign/event-log'
import type { Difference } from '@countersign/evidence'
import type { FastifyInstance } from 'fastify'
import type { Known } from '../system/known.ts'
import { type Html, html } from './html.ts'
import type { Pages } from './live.ts'
import { asOf, handle, span, state, table } from './words.ts'

/** Topics and what is wrong with them. */
export interface TopicsNow {
  readonly topics: readonly TopicState[]
  readonly differences: readonly Difference[]
}

export function topicPages(app: FastifyInstance, { topics, pages }: { topics: Known<TopicsNow>; pages: Pages }): void {
  pages.add(app, {
    path: '/topics',
    place: '/topics',
    title: () => 'Topics and drift',
    regions: {
      drift: async () => {
        const told = await topics.tell()
        if (told.value === null) return asOf(told, 'The log')
        return html`${driftOf(told.value)}${asOf(told, 'The log')}${topicTable(told.value)}`
      },
    },
  })
}

function driftOf({ differences }: TopicsNow): Html {
  if (differences.length === 0) return html`<p class="good">Every topic is as the catalogue asks.</p>`
  const breaking = differences.filter(({ breaks }) => breaks).length
  return html`<p class="${breaking > 0 ? 'alarm' : 'note'}">${differences.length} ${differences.length === 1 ? 'difference' : 'differences'}${
    breaking > 0 && `, ${breaking} of which ${breaking === 1 ? 'breaks' : 'break'} what is promised`
  }.</p>
${table(
  'Where topics differ from the catalogue',
  ['Topic', 'Property', 'Wanted', 'Found', 'Breaks promises'],
  differences.map(({ topic, property, wanted, found, breaks }) => [
    handle(topic),
    property,
    wanted,
    found,
    breaks ? state('yes', 'bad') : state('no', 'plain'),
  ]),
)}`
}

function topicTable({ topics, differences }: TopicsNow): Html {
  const differing = new Set(differences.map(({ topic }) => topic))
  return table(
    'Topics',
    ['Topic', 'Partitions', 'Kept for', 'Cleanup', 'Timestamps', 'State'],
    topics.map(({ name, partitions, retentionMs, cleanupPolicy, timestampType }) => [
      handle(name),
      partitions,
      retentionMs === null ? 'ever' : span(retentionMs),
      cleanupPolicy,
      timestampType,
      differing.has(name) ? state('differs', 'wait') : state('as asked', 'ok'),
    ]),
    [1],
  )
}
