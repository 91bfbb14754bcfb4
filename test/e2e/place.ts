/** Where the logs of a site are: embedded, or on a Kafka of its own. A claim that holds on both is made on both. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { EventLog } from '@countersign/event-log'
import { openKafkaLog, provisionKafka } from '@countersign/event-log/kafka'
import { openSqliteLog } from '@countersign/event-log/sqlite'
import type { Catalogue } from '@countersign/schemas'
import { down, up } from '../../infra/stack/index.ts'
import { kafka } from '../brokers.ts'
import type { Site, SiteOptions } from './site.ts'

export interface Place {
  readonly name: string
  /** What a site begins with. */
  readonly begin: () => Promise<Pick<SiteOptions, 'kafka'>>
  readonly open: (site: Site) => Promise<EventLog>
  /** What the command line finds them by. */
  readonly env: (site: Site) => Record<string, string>
  readonly end: () => Promise<unknown>
}

/** @returns those this run has: the second where there is a Kafka at all. */
export function places(catalogue: Catalogue): readonly Place[] {
  return kafka() === null ? [embedded(catalogue)] : [embedded(catalogue), onKafka(catalogue)]
}

function embedded(catalogue: Catalogue): Place {
  return {
    name: 'on an embedded log',
    begin: async () => ({}),
    open: ({ logPath: path }) => openSqliteLog({ path, catalogue, create: false }),
    env: ({ logPath }) => ({ COUNTERSIGN_LOG_PATH: logPath }),
    end: async () => {},
  }
}

function onKafka(catalogue: Catalogue): Place {
  // A signals log has one root: what other tests left on a broker they share would be a foreign one.
  const dir = mkdtempSync(join(tmpdir(), 'countersign-logs-'))
  const at = { brokers: [] as string[], registryUrl: '', catalogue, clientId: 'e2e', registryDeadlineMs: 20_000 }
  return {
    name: 'on Kafka',
    async begin() {
      const { brokers, registryUrl } = await up({ brokers: 1, dir })
      Object.assign(at, { brokers: [...brokers], registryUrl })
      await provisionKafka({ ...at, windowMs: 86_400_000 })
      return { kafka: at }
    },
    open: () => openKafkaLog(at),
    env: () => ({ COUNTERSIGN_KAFKA_BROKERS: at.brokers.join(), COUNTERSIGN_REGISTRY_URL: at.registryUrl }),
    async end() {
      await down({ dir })
      rmSync(dir, { recursive: true, force: true })
    },
  }
}
