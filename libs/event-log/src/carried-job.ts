/** A job on its way through a queue that is not the log, and the text it is where that queue carries JSON. */

/** What a job is made of, wherever it travels. */
export interface CarriedJob {
  /** Physical topic. */
  readonly topic: string
  readonly key: Uint8Array | null
  readonly value: Uint8Array | null
  /** The envelope is one of them. */
  readonly headers: Readonly<Record<string, Uint8Array>>
}

/** A carried job as JSON: bytes are base64. */
export interface JobJson {
  readonly topic: string
  readonly key: string | null
  readonly value: string | null
  readonly headers: Readonly<Record<string, string>>
}

/** @returns the same job as plain JSON, a third longer. */
export function jobToJson({ topic, key, value, headers }: CarriedJob): JobJson {
  const texts = Object.entries(headers).map(([name, bytes]) => [name, textOf(bytes)])
  return { topic, key: textOf(key), value: textOf(value), headers: Object.fromEntries(texts) }
}

/**
 * Reads what `jobToJson` made. Says nothing about who made it: that is for the enforcer to find out.
 * @returns null for anything else.
 */
export function jobFromJson(data: unknown): CarriedJob | null {
  const { topic, key, value, headers } = isObject(data) ? data : {}
  if (typeof topic !== 'string' || !isText(key) || !isText(value) || !isObject(headers)) return null
  // Without a prototype, so that no name means anything else.
  const own: Record<string, Uint8Array> = Object.create(null)
  for (const [name, text] of Object.entries(headers)) {
    if (typeof text !== 'string') return null
    own[name] = Buffer.from(text, 'base64')
  }
  return { topic, key: bytesOf(key), value: bytesOf(value), headers: own }
}

function textOf(bytes: Uint8Array): string
function textOf(bytes: Uint8Array | null): string | null
function textOf(bytes: Uint8Array | null): string | null {
  return bytes && Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64')
}

function bytesOf(text: string | null): Buffer | null {
  return text === null ? null : Buffer.from(text, 'base64')
}

function isText(data: unknown): data is string | null {
  return typeof data === 'string' || data === null
}

function isObject(data: unknown): data is Record<string, unknown> {
  return typeof data === 'object' && data !== null && !Array.isArray(data)
}
