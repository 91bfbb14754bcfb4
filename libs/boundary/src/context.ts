/** What of a request may travel with the identity, by policy. */
import { createHmac } from 'node:crypto'
import { isIPv4, isIPv6 } from 'node:net'
import type { Secret } from '@countersign/kernel'
import { BoundaryError } from './denial.ts'

export type ContextDetail = 'full' | 'truncated' | 'hashed' | 'none'

export interface ContextPolicy {
  /** Truncated: the /24 of IPv4, the /48 of IPv6. @defaultValue truncated */
  readonly ip?: ContextDetail
  /** Truncated: the first product name, without its version. @defaultValue none */
  readonly userAgent?: ContextDetail
  /** Needed for `hashed`. */
  readonly hashKey?: Secret
}

export interface RequestContextValues {
  readonly ip: string | null
  readonly userAgent: string | null
}

const MAX_TEXT = 256

/** @throws {BOUNDARY_OPTIONS_INVALID} when something is to be hashed without a key. */
export function contextFilter(
  policy: ContextPolicy = {},
): (ip: string | undefined, userAgent: string | undefined) => RequestContextValues {
  const { ip: ipDetail = 'truncated', userAgent: agentDetail = 'none', hashKey } = policy
  if ((ipDetail === 'hashed' || agentDetail === 'hashed') && !hashKey) {
    const publicMessage = 'a context policy that hashes has a hashKey'
    throw new BoundaryError({ code: 'BOUNDARY_OPTIONS_INVALID', retriable: false, publicMessage })
  }
  const reduce = (name: string, value: string, detail: ContextDetail, truncate: (s: string) => string | null) => {
    if (detail === 'none' || value === '') return null
    if (detail === 'full') return value.slice(0, MAX_TEXT).toWellFormed()
    if (detail === 'truncated') return truncate(value)
    const mac = createHmac('sha256', hashKey?.reveal() ?? '').update(`countersign.context.v1\0${name}\0${value}`)
    return mac.digest().subarray(0, 16).toString('base64url')
  }
  return (ip, userAgent) => ({
    ip: reduce('ip', ip ?? '', ipDetail, truncateIp),
    userAgent: reduce('user-agent', userAgent ?? '', agentDetail, truncateAgent),
  })
}

function truncateIp(ip: string): string | null {
  const plain = ip.replace(/^::ffff:(?=\d+\.)/i, '')
  if (isIPv4(plain)) return `${plain.split('.').slice(0, 3).join('.')}.0/24`
  if (!isIPv6(plain)) return null
  const [head = '', tail] = plain.replace(/%.*$/, '').split('::')
  const groups = head === '' ? [] : head.split(':')
  // Zeros that `::` stands for come before what follows it.
  const after = tail === undefined || tail === '' ? 0 : tail.split(':').length
  while (tail !== undefined && groups.length < 8 - after) groups.push('0')
  return `${groups
    .slice(0, 3)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(':')}::/48`
}

function truncateAgent(agent: string): string | null {
  return /^[A-Za-z0-9._-]{1,64}/.exec(agent)?.[0].toWellFormed() ?? null
}

const WORD = /^[a-z0-9][\w.-]{0,63}$/i

/** @returns a word by which a posture or a risk is called; null for anything else. */
export function wordOf(value: unknown): string | null {
  return typeof value === 'string' && WORD.test(value) ? value : null
}
