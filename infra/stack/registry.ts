/** The schema registry as a local process. It keeps its schemas in memory: a stopped one has forgotten them. */

import { type ProcessIdentity, startDetached } from './process.ts'

/** Path under which Apicurio speaks the Confluent API. */
export const CONFLUENT_PATH = '/apis/ccompat/v7'

export function startRegistry(o: { port: number; dir: string; jar: string; logFile: string }): ProcessIdentity {
  const flags = ['-Xms64m', '-Xmx256m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1']
  return startDetached('java', [...flags, '-jar', o.jar], {
    cwd: o.dir,
    logFile: o.logFile,
    env: { QUARKUS_HTTP_HOST: '127.0.0.1', QUARKUS_HTTP_PORT: String(o.port) },
  })
}

export async function registryReady(url: string): Promise<boolean> {
  try {
    const answer = await fetch(`${url}/subjects`, { signal: AbortSignal.timeout(2_000) })
    await answer.arrayBuffer()
    return answer.ok
  } catch {
    return false
  }
}
