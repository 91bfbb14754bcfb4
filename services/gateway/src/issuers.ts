/** Issuers of others whose JWTs are taken, as configuration says them. */
import type { ForeignIssuerConfig } from '@countersign/boundary'
import { parseMillis, Secret } from '@countersign/kernel'
import { z } from 'zod'
import type { AnyAudience } from './boundaries.ts'

const text = z.string().min(1).max(1024)
const shape = z.strictObject({
  issuer: text,
  keys: z.string().regex(/^https?:\/\//, 'must be the address of a key set'),
  algorithms: z.array(z.enum(['RS256', 'PS256', 'ES256', 'EdDSA', 'Ed25519'])).min(1),
  typ: text.default('at+jwt'),
  maxAge: z.string().refine((age) => (parseMillis(age) ?? 0) >= 1000, 'must be a duration such as 1h'),
  hashKey: z.string().min(32, 'must be 32 characters or more: ids of others travel as hashes under it'),
  tenant: z.union([text, z.strictObject({ claim: text, allowed: z.array(text).min(1) })]),
  allowedScopes: z.array(text),
  principal: z.enum(['user', 'service']).default('user'),
})

/** Holds a key, so it prints as a secret. */
export class ForeignIssuers extends Secret {
  readonly all: readonly AnyAudience<ForeignIssuerConfig>[]

  private constructor(given: readonly z.output<typeof shape>[]) {
    super('')
    this.all = given.map(({ maxAge, hashKey, ...rest }) => ({
      ...rest,
      maxAgeS: (parseMillis(maxAge) ?? 0) / 1000,
      identifiers: { hashKey: new Secret(hashKey) },
    }))
  }

  /** @returns the issuers, or one line for each thing that is wrong; none quotes a value. */
  static read(json: string): ForeignIssuers | { readonly faults: readonly string[] } {
    let given: unknown
    try {
      given = JSON.parse(json)
    } catch {
      return { faults: ['must be JSON: a list of issuers'] }
    }
    const result = z.array(shape).safeParse(given)
    if (result.success) return new ForeignIssuers(result.data)
    return {
      faults: result.error.issues.map(({ path, message }) => `issuer ${path.map(labelOf).join('.')}: ${message}`),
    }
  }
}

function labelOf(part: PropertyKey): string {
  return typeof part === 'number' ? String(part + 1) : String(part)
}
