/** The calls doctor makes: JSON over HTTP, with a limit of time and none of the credentials sent on. */
import { OpsError } from '../errors.ts'

export interface HttpAnswer {
  readonly status: number
  readonly headers: Headers
  /** Parsed JSON, null for anything else. */
  readonly body: unknown
}

const MOST_BYTES = 1_048_576

/** Follows no redirect. @throws {OPS_PROBE_UNREACHABLE} when nothing answers in time. */
export async function ask(url: string | URL, timeoutMs: number, init: RequestInit = {}): Promise<HttpAnswer> {
  try {
    const signal = AbortSignal.timeout(timeoutMs)
    const response = await fetch(url, { ...init, redirect: 'manual', signal })
    const text = await response.text()
    const { status, headers } = response
    return { status, headers, body: text.length > MOST_BYTES ? null : jsonOf(text) }
  } catch (cause) {
    throw new OpsError({
      code: 'OPS_PROBE_UNREACHABLE',
      retriable: true,
      publicMessage: `nothing answers at ${new URL(url).origin}`,
      cause,
    })
  }
}

/** @returns the member of a JSON object if it is text. */
export function textOf(body: unknown, member: string): string | null {
  const value = (body as Record<string, unknown> | null)?.[member]
  return typeof value === 'string' ? value : null
}

/** @returns the texts of a member that is a list. */
export function textsOf(body: unknown, member: string): string[] | null {
  const value = (body as Record<string, unknown> | null)?.[member]
  return Array.isArray(value) ? value.filter((one) => typeof one === 'string') : null
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}
