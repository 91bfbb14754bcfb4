/** Configuration of the api, from `COUNTERSIGN_*`. */

import type { WebhookScheme } from '@countersign/boundary'
import { boundaryFields, hostFields, logFields, namesOneLog, viewFields } from '@countersign/host'
import { field, Secret } from '@countersign/kernel'
import { z } from 'zod'

/** Whose webhooks are taken, by provider name. */
export interface WebhookSettings {
  readonly scheme: WebhookScheme
  readonly tenant: string
  readonly secrets: readonly Secret[]
}

const webhookShape = z.record(
  z.string().regex(/^[a-z0-9-]{1,32}$/),
  z
    .strictObject({
      scheme: z.enum(['standard', 'stripe', 'github']).default('standard'),
      tenant: z.string().min(1).max(128),
      secrets: z.array(z.string().min(20).max(512)).min(1).max(4),
    })
    .refine(({ scheme, secrets }) => scheme === 'github' || secrets.every((secret) => secret.startsWith('whsec_'))),
)

/** Holds secrets, so it prints as one. */
class Webhooks extends Secret {
  readonly byProvider: ReadonlyMap<string, WebhookSettings>

  constructor(shape: z.output<typeof webhookShape>) {
    super('')
    const settings = Object.entries(shape).map(([provider, { secrets, ...terms }]) => {
      return [provider, { ...terms, secrets: secrets.map((secret) => new Secret(secret)) }] as const
    })
    this.byProvider = new Map(settings)
  }
}

const MESSAGE =
  'must be JSON such as {"ledger":{"tenant":"acme","scheme":"standard","secrets":["whsec_…"]}}, scheme one of standard, stripe, github'

const webhooks = z.string().transform((text, ctx) => {
  try {
    return new Webhooks(webhookShape.parse(JSON.parse(text)))
  } catch {
    ctx.addIssue({ code: 'custom', message: MESSAGE })
    return z.NEVER
  }
})

export const config = z
  .object({
    ...hostFields,
    ...viewFields,
    ...boundaryFields,
    workload: field.text().default('api').describe('name of this workload in envelopes; default api'),
    envelopeKeyId: field
      .text()
      .default('api')
      .describe('id of the key that seals, as in the trust bundle; default api'),
    credentials: z
      .enum(['direct', 'gateway'])
      .default('direct')
      .describe('gateway: nothing but Txn-Tokens is taken, no credential of a caller; default direct'),
    trustDomain: field
      .text()
      .optional()
      .describe(
        'takes Txn-Tokens for this trust domain, of boundaries the trust bundle names and of ISSUER; default none',
      ),
    identitySecret: field
      .secret()
      .optional()
      .describe('secret identity knows this service by; use _FILE; not needed with CREDENTIALS=gateway'),
    audience: field.text().default('api').describe('audience access tokens must name; default api'),
    introspectionClient: field
      .text()
      .optional()
      .describe('client id of this service at the issuer; default: opaque tokens are not taken'),
    ...logFields,
    envelopeLife: field.duration().prefault('12h').describe('longest life of an envelope; default 12h'),
    webhooks: webhooks.optional().describe('webhooks taken, JSON by provider; default none'),
    scheduleSecret: field
      .secret()
      .optional()
      .describe('bearer secret of POST /internal/schedule/…; default: not offered'),
    scheduleTenants: field.list().optional().describe('tenants whose reports are built at night; default none'),
    nightlyAt: z
      .string()
      .regex(/^([01]\d|2[0-3]):[0-5]\d$/, 'must be a time of day in UTC such as 03:00')
      .optional()
      .describe('when the nightly schedule fires by itself, UTC; default: only when asked to'),
  })
  .superRefine(namesOneLog)
  .superRefine(
    ({ credentials, trustDomain, identitySecret, issuer, introspectionClient, introspectionSecret }, ctx) => {
      const complain = (key: string, message: string): void => ctx.addIssue({ code: 'custom', path: [key], message })
      const behind = credentials === 'gateway'
      if (behind && trustDomain === undefined) complain('trustDomain', 'needed with CREDENTIALS=gateway')
      if (!behind && identitySecret === undefined) complain('identitySecret', 'needed, but with CREDENTIALS=gateway')
      if (behind && introspectionClient !== undefined)
        complain('introspectionClient', 'not with CREDENTIALS=gateway: nobody is asked about what is not taken')
      if ((introspectionClient === undefined) !== (introspectionSecret === undefined))
        complain('introspectionSecret', 'goes with INTROSPECTION_CLIENT')
      if (introspectionClient !== undefined && issuer === undefined)
        complain('issuer', 'needed with INTROSPECTION_CLIENT')
    },
  )

export type ApiConfig = Readonly<z.output<typeof config>>
