/** Accounts, clients and secrets made at the start, if missing; for development, tests and the first operator. */
import { CountersignError, newHandle, type Random } from '@countersign/kernel'
import type { SessionStore } from '@countersign/session-store'
import { z } from 'zod'
import { parseSecret, type TotpSecrets } from './factors/totp.ts'
import { secretHash } from './http/guard.ts'
import { clientSecretHash } from './oauth/client-authentication.ts'
import { clientId, newClientFields } from './oauth/client-terms.ts'
import { contradictions, hasSecret } from './oauth/clients.ts'
import { ADMIN_SCOPE, scopesOf } from './people/grants.ts'
import type { Passwords } from './people/passwords.ts'
import { addressOf } from './sessions/logins.ts'

// Looked up or compared by plain hash, so it must be long and random.
const longSecret = z
  .string()
  .min(32)
  .max(512)
  .regex(/^[\x21-\x7e]+$/)

const seedSchema = z.strictObject({
  accounts: z
    .array(
      z
        .strictObject({
          sub: z.string().min(1).max(128).optional(),
          principal: z.enum(['user', 'service']).default('user'),
          email: z.string().min(3).max(254).transform(addressOf),
          password: z.string().min(8).max(256).nullable().default(null),
          /** Secret of an authenticator app, base32. */
          totp: z
            .string()
            .refine((text) => parseSecret(text) !== null)
            .optional(),
          affiliations: z.array(
            z.strictObject({ tenant: z.string().min(1).max(128), roles: z.array(z.string().min(1)) }),
          ),
        })
        .refine(({ principal, password }) => (principal === 'user') === (password !== null), { path: ['password'] })
        .refine(({ principal, totp }) => principal === 'user' || totp === undefined, { path: ['totp'] })
        // To administer takes a person who shows themselves.
        .refine(
          ({ principal, affiliations }) =>
            principal === 'user' || affiliations.every(({ roles }) => !scopesOf(roles).includes(ADMIN_SCOPE)),
          { path: ['affiliations'] },
        ),
    )
    .default([]),
  clients: z
    .array(
      z
        .strictObject({ ...newClientFields, id: clientId, secret: longSecret.nullable().default(null) })
        .refine((client) => hasSecret(client) === (client.secret !== null), { path: ['secret'] })
        .superRefine((client, context) => {
          for (const member of contradictions(client)) context.addIssue({ code: 'custom', path: [member] })
        }),
    )
    .default([]),
  secrets: z
    .array(
      z.strictObject({
        name: z.string().regex(/^[a-z0-9-]{1,64}$/),
        use: z.enum(['service', 'operator', 'revoker']),
        secret: longSecret,
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
  options: {
    store: SessionStore
    passwords: Passwords
    /** Null where secrets cannot be sealed: a seed with one is refused. */
    totp: TotpSecrets | null
    random: Random
    now: number
  },
): Promise<number> {
  const { store, passwords, totp, random, now } = options
  if (totp === null && seed.accounts.some((account) => account.totp !== undefined))
    throw seedError('accounts with totp need COUNTERSIGN_KEYS_DIR')
  for (const { name, use, secret } of seed.secrets) await store.putSecret({ name, use, hash: secretHash(secret) })
  const made = await Promise.all(
    seed.accounts.map(async ({ sub, principal, email, password, affiliations, totp: text }) => {
      const existing = await store.accountByEmail(email)
      if (existing === null) {
        const hash = password === null ? null : await passwords.hash(password)
        const account = {
          sub: sub ?? newHandle(random, principal === 'service' ? 'svc' : 'sub'),
          principal,
          email,
          password: hash,
          affiliations,
          atLeast: [],
          now,
        }
        // Another process may have seeded it meanwhile.
        if ('refused' in (await store.createAccount(account))) return 0
        const secret = text === undefined ? null : parseSecret(text)
        if (secret !== null && totp !== null) await addTotp(account.sub, totp.taken(account.sub, secret).sealed)
        return 1
      }
      for (const { tenant, roles } of affiliations) {
        await store.createAffiliation({ tenant, sub: existing.sub, roles, atLeast: [], now })
      }
      return 0
    }),
  )
  for (const { secret, ...client } of seed.clients) {
    await store.createClient({ ...client, secretHash: secret === null ? null : clientSecretHash(secret) }, now)
  }
  return made.reduce<number>((sum, one) => sum + one, 0)

  async function addTotp(sub: string, sealedSecret: Buffer): Promise<void> {
    const made = { handle: newHandle(random, 'fac'), sub, kind: 'totp', name: 'Authenticator app' } as const
    const factor = { ...made, createdAt: now, lastUsedAt: null, totp: { sealedSecret, usedStep: 0 } }
    await store.addFactors({ factors: [{ ...factor, codes: null, webauthn: null }], enrolment: null, most: 0, now })
  }
}

function seedError(what: string): CountersignError<'IDENTITY_SEED_INVALID'> {
  return new CountersignError({
    code: 'IDENTITY_SEED_INVALID',
    retriable: false,
    publicMessage: `the seed is wrong: ${what}`,
  })
}
