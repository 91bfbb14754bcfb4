/** What a round of load asks of a subject. */
import { form } from '../../identity/people.ts'
import type { LoadTask } from './load-process.ts'
import type { Format, Subject } from './subject.ts'

export type Cell = {
  readonly kind: LoadTask['kind']
  /** Of the access tokens that are issued or asked about. */
  readonly format: Format
  readonly concurrency: number
}

export const CELLS: readonly Cell[] = [
  ...[1, 8].map((concurrency): Cell => ({ kind: 'refresh', format: 'jwt', concurrency })),
  ...[1, 8].map((concurrency): Cell => ({ kind: 'refresh', format: 'opaque', concurrency })),
  ...[1, 8].map((concurrency): Cell => ({ kind: 'introspection', format: 'opaque', concurrency })),
]

/** A chain of refreshes per family, short enough that nobody pays for the length of a chain. */
const FAMILIES = 64

export function cellName({ kind, format, concurrency }: Cell): string {
  return `${kind}${kind === 'refresh' && format === 'opaque' ? '-opaque' : ''}.c${concurrency}`
}

/** @returns the task of one round: with families begun for it. */
export async function prepare({ kind, format, concurrency }: Cell, subject: Subject): Promise<Omit<LoadTask, 'ms'>> {
  const families = await subject.families(format, FAMILIES)
  if (kind === 'refresh') {
    const tokens = families.map(({ sub, refreshToken }) => ({ sub, value: refreshToken }))
    return { kind, endpoint: subject.token(format), concurrency, tokens }
  }
  const tokens: { sub: string; value: string }[] = []
  for (const { sub, refreshToken } of families) tokens.push({ sub, value: await accessToken(subject, refreshToken) })
  return { kind, endpoint: subject.introspection, concurrency, tokens }
}

async function accessToken(subject: Subject, refresh_token: string): Promise<string> {
  const { url, authorization } = subject.token('opaque')
  const { body, headers } = form({ id: '', secret: '' }, { grant_type: 'refresh_token', refresh_token })
  const response = await fetch(url, { method: 'POST', headers: { ...headers, authorization }, body })
  const { access_token } = (await response.json()) as { access_token?: string }
  if (!access_token) throw new Error(`${subject.name}: refresh answered ${response.status}`)
  return access_token
}
