/** The jars of the stack, fetched from Maven Central once and kept in a cache that outlives every stack. */

import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { alone } from '../setup/lock.mjs'

const run = promisify(execFile)

/** Kafka's version is named in `java/pom.xml` as well; a test keeps the two equal. */
export const KAFKA_VERSION = '4.3.1'
const REGISTRY_VERSION = '2.6.13.Final'

const DEPENDENCY_PLUGIN = 'org.apache.maven.plugins:maven-dependency-plugin:3.8.1'
const java = join(dirname(fileURLToPath(import.meta.url)), 'java')

export const log4jFile: string = join(java, 'log4j2.xml')

function cacheDir(): string {
  return process.env.STACK_CACHE ?? join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'countersign')
}

const kafkaDir = (): string => join(cacheDir(), `kafka-${KAFKA_VERSION}`)
const registryDir = (): string => join(cacheDir(), `apicurio-registry-${REGISTRY_VERSION}`)

export interface Artifacts {
  /** Folder of all of Kafka's jars. */
  readonly kafkaLibs: string
  /** The registry's runnable jar, beside the folders it needs. */
  readonly registryJar: string
}

/** Whether both are there, so that Maven is not needed. */
export function artifactsCached(): boolean {
  return existsSync(kafkaDir()) && existsSync(registryDir())
}

/** Fetches what the cache lacks; safe when several processes ask at once. */
export async function fetchArtifacts(say: (line: string) => void): Promise<Artifacts> {
  await alone(join(cacheDir(), 'fetch.lock'), async () => {
    await once(kafkaDir(), async (into) => {
      say(`fetching Apache Kafka ${KAFKA_VERSION} from Maven Central (44 MB)`)
      await maven(
        'copy-dependencies',
        '-f',
        join(java, 'pom.xml'),
        '-DincludeScope=runtime',
        `-DoutputDirectory=${into}`,
      )
    })
    await once(registryDir(), async (into) => {
      say(`fetching Apicurio Registry ${REGISTRY_VERSION} from Maven Central (142 MB)`)
      await maven(
        'copy',
        `-Dartifact=io.apicurio:apicurio-registry-app:${REGISTRY_VERSION}:tar.gz:all`,
        `-DoutputDirectory=${into}`,
      )
      const [archive] = readdirSync(into)
      if (archive === undefined) throw new Error('Maven fetched no registry')
      await run('tar', ['-xzf', join(into, archive), '-C', into])
      rmSync(join(into, archive))
    })
  })
  const registryJar = readdirSync(registryDir()).find((name) => name.endsWith('-runner.jar'))
  if (registryJar === undefined) throw new Error(`${registryDir()} has no runnable jar; delete it and try again`)
  return { kafkaLibs: kafkaDir(), registryJar: join(registryDir(), registryJar) }
}

/** Fills a folder of the cache; a fetch cut short leaves only a partial folder that the next one removes. */
async function once(dir: string, fill: (into: string) => Promise<void>): Promise<void> {
  if (existsSync(dir)) return
  const partial = `${dir}.partial`
  rmSync(partial, { recursive: true, force: true })
  mkdirSync(partial, { recursive: true })
  await fill(partial)
  renameSync(partial, dir)
}

async function maven(goal: string, ...args: string[]): Promise<void> {
  try {
    await run('mvn', ['-q', '-B', `${DEPENDENCY_PLUGIN}:${goal}`, ...args], { cwd: java })
  } catch (error) {
    const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string }
    throw new Error(`Maven could not fetch: ${`${stdout}${stderr}`.trim().split('\n').slice(0, 3).join(' ')}`)
  }
}
