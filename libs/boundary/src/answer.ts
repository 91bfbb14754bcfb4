/** The problem document a refused request is answered with (RFC 9457): no more than its sender should know. */
import { type DenialCode, publicDenial } from './denial.ts'

export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

export function answerOf(code: DenialCode, requestId?: string): Answer {
  const { status, code: shown, title } = publicDenial(code)
  return {
    status,
    headers: {
      'content-type': 'application/problem+json',
      'cache-control': 'no-store',
      ...(status === 401 && { 'www-authenticate': 'Bearer' }),
      ...(status === 503 && { 'retry-after': '1' }),
    },
    body: JSON.stringify({
      type: `urn:countersign:problem:${shown}`,
      title,
      status,
      code: shown,
      ...(requestId !== undefined && { instance: `urn:request:${requestId}` }),
    }),
  }
}
