/** Settings of servers that judge by a view of the log, and of those that take credentials. */
import { field, type Millis, type Secret } from '@countersign/kernel'
import type { z } from 'zod'

type Optional<T> = z.ZodOptional<z.ZodType<T, string>>

/** Configuration of a server with a view of its own. */
export const viewFields: {
  readonly rootKey: ReturnType<typeof field.publicKey>
  readonly epsilon: z.ZodType<Millis, string | undefined>
} = {
  rootKey: field.publicKey().describe('pinned root public key, base64; use _FILE for the root.pub that identity makes'),
  epsilon: field.duration().prefault('250ms').describe('skew tolerance; default 250ms'),
}

/** Configuration of a server that takes credentials and seals what they become. */
export const boundaryFields: {
  readonly envelopeKey: z.ZodType<Secret, string>
  readonly identityUrl: ReturnType<typeof field.url>
  readonly issuer: Optional<string>
  readonly jwksUrl: Optional<string>
  readonly introspectionUrl: Optional<string>
  readonly introspectionSecret: Optional<Secret>
  readonly insecureCookies: z.ZodType<boolean, string | undefined>
  readonly trustedProxies: z.ZodOptional<ReturnType<typeof field.list>>
} = {
  envelopeKey: field.secret().describe('the key that seals, PKCS#8 PEM; use _FILE'),
  identityUrl: field.url().describe('address of identity'),
  issuer: field.text().optional().describe('issuer of identity’s access tokens, exactly; default: none are taken'),
  jwksUrl: field
    .url()
    .optional()
    .describe('key set of the issuer, https or on loopback; default IDENTITY_URL/jwks.json'),
  introspectionUrl: field.url().optional().describe('where tokens are asked about; default IDENTITY_URL/introspect'),
  introspectionSecret: field.secret().optional().describe('secret of INTROSPECTION_CLIENT; use _FILE'),
  insecureCookies: field.flag().prefault('false').describe('development only: the cookie is `session`, as identity’s'),
  trustedProxies: field.list().optional().describe('addresses whose X-Forwarded-For counts; default none'),
}
