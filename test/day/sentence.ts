/** What a stolen credential would have been good for that day: as `ops sentence` says it, from what the workers signed. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { EventLog } from '@countersign/event-log'
import { logSource, readLives, type Sentence, SentenceFold } from '@countersign/evidence'
import { exampleCatalogue } from '@countersign/schemas'
import type { Site } from './site.ts'

const DEADLINE_MS = 30_000

export async function sentencesOf(site: Site, log: EventLog): Promise<readonly Sentence[]> {
  const signal = AbortSignal.timeout(DEADLINE_MS)
  const lives = await fetch(`${site.identity.url}/v1/lives`, { signal })
    .then(async (response) => readLives(await response.json()))
    .catch(() => null)
  const source = logSource(log, exampleCatalogue)
  const root = readFileSync(join(site.folder, 'keys/root.pub'), 'utf8')
  const fold = new SentenceFold({ schemas: source.schemas, rootKeys: [Buffer.from(root.trim(), 'base64')] })
  await fold.read(source, { signal })
  return fold.sentences(lives ?? [])
}

/** One line a class: what people log in with. */
export function told(sentences: readonly Sentence[]): string {
  const cookies = sentences.filter(({ credential }) => credential === 'session_cookie')
  return ['', ...cookies.map(({ text }) => text)].join('\n')
}

/** For `--json`. */
export function figures(sentences: readonly Sentence[]): object {
  return sentences.map(({ credential, jobClass, boundMs, p99Ms, revocations }) => {
    return { credential, class: jobClass, boundMs, p99Ms, revocations }
  })
}
