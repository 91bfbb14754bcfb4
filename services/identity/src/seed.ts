/** Accounts and secrets made at the start, if missing; for development, tests and the first operator. */
import { CountersignError, newHandle, type Random } from '@countersign/kernel'
import type { SessionStore } from '@countersign/session-store'
import { z } from 'zod'
import { secretHash } from './http/guard.ts'
import { addressOf } from './logins.ts'
import type { Passwords } from './passwords.ts'

const seedSchema = z.strictObject({
  accounts: z
    .array(
      z.strictObject({
        sub: z.string().min(1).max(128).optional(),
        email: z.string().min(3).max(254).transform(addressOf),
        password: z.string().min(8).max(256),
        affiliations: z.array(
          z.strictObject({ tenant: z.string().min(1).max(128), roles: z.array(z.string().min(1)) }),
        ),
      }),
    )
    .default([]),
  secrets: z
    .array(
      z.strictObject({
        name: z.string().regex(/^[a-z0-9-]{1,64}$/),
        use: z.enum(['service', 'operator']),
        // Looked up by plain hash, so it must be long and random.
        secret: z
          .string()
          .min(32)
          .max(512)
          .regex(/^[\x21-\x7e]+$/),
      }),
    )
    .default([]),
})

export type Seed = z.output<typeof seedSchema>

/** @throws {IDENTITY_SEED_INVALID} naming the fields at fault, never their values. */
export function parseSeed(text: string): Seed {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw seedError('it is not JSON')
  }
  const result = seedSchema.safeParse(value)
  if (result.success) return result.data
  throw seedError(result.error.issues.map((issue) => issue.path.join('.') || 'top level').join(', '))
}

/** Makes what is missing; what exists stays as it is, but for secrets, which are replaced. @returns accounts made. */
export async function applySeed(
  seed: Seed,
  { store, passwords, random, now }: { store: SessionStore; passwords: Passwords; random: Random; now: number },
): Promise<number> {
  for (const { name, use, secret } of seed.secrets) await store.putSecret({ name, use, hash: secretHash(secret) })
  const made = await Promise.all(
    seed.accounts.map(async ({ sub, email, password, affiliations }) => {
      const existing = await store.accountByEmail(email)
      if (existing === null) {
        const hash = await passwords.hash(password)
        const account = {
          sub: sub ?? newHandle(random, 'sub'),
          principal: 'user' as const,
          email,
          password: hash,
          affiliations,
          atLeast: [],
          now,
        }
        // Another process may have seeded it meanwhile.
        return 'refused' in (await store.createAccount(account)) ? 0 : 1
      }
      for (const { tenant, roles } of affiliations) {
        await store.createAffiliation({ tenant, sub: existing.sub, roles, atLeast: [], now })
      }
      return 0
    }),
  )
  return made.reduce<number>((sum, one) => sum + one, 0)
}

function seedError(what: string): CountersignError<'IDENTITY_SEED_INVALID'> {
  return new CountersignError({
    code: 'IDENTITY_SEED_INVALID',
    retriable: false,
    publicMessage: `the seed is wrong: ${what}`,
  })
}
