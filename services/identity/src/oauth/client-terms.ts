/** Members of a client as operators and seed files write them. */
import { z } from 'zod'
import { TOKEN_EXCHANGE } from './exchange-request.ts'

const id = z.string().regex(/^[A-Za-z0-9._~-]{1,128}$/)
const scope = z.string().regex(/^[\x21\x23-\x5b\x5d-\x7e]{1,128}$/)
export const audience: z.ZodString = z.string().regex(/^[\x21-\x7e]{1,256}$/)
const name = z
  .string()
  .min(1)
  .max(128)
  .refine((text) => text.isWellFormed())

const fields = {
  name,
  authMethod: z.enum(['none', 'client_secret_basic', 'client_secret_post', 'private_key_jwt']),
  jwks: z.string().max(16_384).nullable(),
  redirectUris: z.array(z.string().max(512)).max(16),
  grants: z.array(z.enum(['authorization_code', 'refresh_token', 'client_credentials', TOKEN_EXCHANGE])),
  scopes: z.array(scope).max(64),
  audiences: z.array(audience).max(16),
  tokenFormat: z.enum(['jwt', 'opaque']),
  sessionKind: z.enum(['family', 'device']),
  service: z.strictObject({ sub: name, tenant: name }).nullable(),
  introspects: z.array(audience).max(16),
}

/** Members of a new client but its id; what is left out gives nothing. */
export const newClientFields = {
  ...fields,
  jwks: fields.jwks.default(null),
  redirectUris: fields.redirectUris.default([]),
  grants: fields.grants.default([]),
  scopes: fields.scopes.default([]),
  audiences: fields.audiences.default([]),
  tokenFormat: fields.tokenFormat.default('jwt'),
  sessionKind: fields.sessionKind.default('family'),
  service: fields.service.default(null),
  introspects: fields.introspects.default([]),
}

/** What may be changed; what is left out stays as it is. */
export const changedClient = z.strictObject(fields).partial()

export const clientId = id
