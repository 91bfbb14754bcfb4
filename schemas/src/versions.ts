/** Reads records of versions published before the newest, as the newest. */
import avsc from 'avsc'
import type { Codec } from './codec.ts'
import { published } from './generated/published.ts'
import { spelling } from './spelling.ts'

/**
 * Decoders for the versions before the newest of a record: fields they did not have get their defaults.
 * @param newest of one of the records of this package.
 * @returns by version; empty where there has been one only. A decoder throws {RangeError} as `decode` does.
 */
export function olderVersions<T>(newest: Codec<T>): ReadonlyMap<number, (bytes: Uint8Array) => T> {
  const kept = published.filter(({ name }) => name === newest.name)
  const reader = typeOf(newest.schema)
  const decoders = kept.slice(0, -1).map(({ version, schema }) => {
    const resolver = reader.createResolver(typeOf(schema))
    const checkSpelling = spelling(schema)
    const decode = (bytes: Uint8Array): T => {
      const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
      try {
        checkSpelling(buffer)
        return reader.fromBuffer(buffer, resolver) as T
      } catch (cause) {
        throw new RangeError(`not the canonical spelling of a ${newest.name} of version ${version}`, { cause })
      }
    }
    return [version, decode] as const
  })
  return new Map(decoders)
}

// Options of its own each time: avsc keeps in them which names it has seen.
function typeOf(schema: object): avsc.Type {
  return avsc.Type.forSchema(schema as avsc.Schema, { wrapUnions: false, noAnonymousTypes: true })
}
