/**
 * An issuer's published key set, fetched when needed. Whoever sends tokens can name any key id, so
 * unknown ids cause at most one fetch per cooldown, and the answer is capped before it is parsed.
 */
import type { Clock } from '@countersign/kernel'
import { optionsInvalid } from './errors.ts'
import { KeySet, type KeySource } from './key-set.ts'

export interface RemoteKeysOptions {
  /** https, or http on loopback. Given by the operator, never taken from a token. */
  readonly url: string
  readonly clock: Clock
  /** Shortest time between two fetches, milliseconds. Default 30 000. */
  readonly cooldownMs?: number
  /** A set older than this is fetched again before use, milliseconds. Default 600 000. */
  readonly maxAgeMs?: number
  /** A set that cannot be fetched again is used up to this age, milliseconds. Default 3 600 000. */
  readonly keepMs?: number
  /** Longest wait for the whole answer, milliseconds. Default 3 000. */
  readonly timeoutMs?: number
  /** Default: the global `fetch`. */
  readonly fetch?: typeof fetch
}

const MAX_BODY_BYTES = 256 * 1024

/** @throws {TOKENS_OPTIONS_INVALID} for an address that is neither https nor on loopback. */
export function remoteKeys(options: RemoteKeysOptions): KeySource {
  const { clock, cooldownMs = 30_000, maxAgeMs = 600_000, keepMs = 3_600_000 } = options
  assertAddress(options.url)
  let keys: KeySet | undefined
  let fetchedAt = Number.NEGATIVE_INFINITY
  let triedAt = Number.NEGATIVE_INFINITY
  let running: Promise<void> | undefined

  async function fetchAgain(): Promise<void> {
    triedAt = clock.monotonic()
    const fresh = await fetchKeys(options)
    if (!fresh) return
    keys = fresh
    fetchedAt = clock.monotonic()
  }

  // Concurrent lookups share one fetch; within the cooldown there is none.
  function refresh(): Promise<void> {
    if (!running && clock.monotonic() - triedAt >= cooldownMs) {
      running = fetchAgain().finally(() => {
        running = undefined
      })
    }
    return running ?? Promise.resolve()
  }

  return {
    async find(header) {
      if (clock.monotonic() - fetchedAt > maxAgeMs) await refresh()
      let key = keys?.find(header)
      if (!key) {
        await refresh()
        key = keys?.find(header)
      }
      if (clock.monotonic() - fetchedAt > keepMs) return 'unavailable'
      return key ?? 'unknown'
    },
  }
}

async function fetchKeys(options: RemoteKeysOptions): Promise<KeySet | undefined> {
  const { url, clock, timeoutMs = 3_000, fetch: get = fetch } = options
  const abort = new AbortController()
  const cancel = clock.after(timeoutMs, () => abort.abort())
  try {
    const response = await get(url, {
      redirect: 'error',
      signal: abort.signal,
      headers: { accept: 'application/jwk-set+json, application/json', 'accept-encoding': 'identity' },
    })
    const encoding = response.headers.get('content-encoding') ?? 'identity'
    if (response.status !== 200 || encoding !== 'identity' || !response.body) return undefined
    const body = await readCapped(response.body)
    return body && KeySet.from(JSON.parse(body.toString('utf8')))
  } catch {
    // Away, too slow, redirected, not JSON: for the caller all the same, the set could not be had.
    return undefined
  } finally {
    cancel()
    abort.abort()
  }
}

async function readCapped(body: ReadableStream<Uint8Array>): Promise<Buffer | undefined> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of body) {
    size += chunk.length
    if (size > MAX_BODY_BYTES) return undefined
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

function assertAddress(address: string): void {
  const url = URL.canParse(address) ? new URL(address) : undefined
  const loopback = url !== undefined && ['127.0.0.1', '[::1]', 'localhost'].includes(url.hostname)
  if (url?.username !== '' || !(url.protocol === 'https:' || (url.protocol === 'http:' && loopback))) {
    throw optionsInvalid('a key set address is https, or http on loopback, and holds no credentials')
  }
}
