/** oidc-provider as a subject of the bench. */
import { basic } from '../../identity/people.ts'
import { WorkerProcess } from '../worker-process.ts'
import type { Endpoint, Family, Format, Subject } from './subject.ts'

export interface RivalReady {
  readonly issuer: string
  readonly secret: string
}

export interface RivalRequest {
  readonly format: Format
  readonly count: number
}

export async function startRival(): Promise<Subject> {
  const child = new WorkerProcess('./identity/rival.ts')
  const { issuer, secret } = await child.next<RivalReady>()
  const endpoint = (path: string, id: string): Endpoint => ({
    url: `${issuer}${path}`,
    authorization: basic(id, secret),
  })
  return {
    name: 'oidc-provider',
    token: (format) => endpoint(`/${format}/token`, 'app'),
    introspection: endpoint('/opaque/token/introspection', 'resource'),
    families: (format, count) => child.ask<Family[]>({ format, count } satisfies RivalRequest),
    stop: () => child.stop(),
  }
}
