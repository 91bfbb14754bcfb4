/** Configuration of the gateway, from `COUNTERSIGN_*`. */
import { boundaryFields, hostFields, logFields, namesOneLog, viewFields } from '@countersign/host'
import { field } from '@countersign/kernel'
import { z } from 'zod'
import { ForeignIssuers } from './issuers.ts'
import { Routes } from './routes/routes.ts'

type Read<T> = T | { readonly faults: readonly string[] }

/** A field of JSON; each fault is a line of its own. */
function read<T extends object>(reader: (json: string) => Read<T>): z.ZodType<T, string> {
  return z.string().transform((json, ctx) => {
    const result = reader(json)
    if (!('faults' in result)) return result
    for (const message of result.faults) ctx.addIssue({ code: 'custom', message })
    return z.NEVER
  })
}

export const config = z
  .object({
    ...hostFields,
    ...viewFields,
    ...boundaryFields,
    checkHost: field.text().default('127.0.0.1').describe('address of the inside listener; default 127.0.0.1'),
    checkPort: field
      .port()
      .prefault('0')
      .describe('port of the inside listener: check, routes, health, metrics; 0 for any; default 0'),
    routes: read(Routes.read).describe('routes, a JSON list; use _FILE'),
    workload: field.text().default('gateway').describe('name of this workload; default gateway'),
    envelopeKeyId: field
      .text()
      .default('gateway')
      .describe('id of the key that seals, as in the trust bundle; default gateway'),
    identitySecret: field.secret().describe('secret identity knows this service by; use _FILE'),
    trustDomain: field.text().optional().describe('audience of Txn-Tokens; default ISSUER'),
    issuers: read(ForeignIssuers.read)
      .optional()
      .describe('other issuers whose JWTs are taken, a JSON list; use _FILE; default none'),
    introspectionClient: field
      .text()
      .optional()
      .describe('client id of this service at the issuer, also for exchanges; default: opaque tokens are not taken'),
    exchangeUrl: field.url().optional().describe('where tokens are exchanged; default IDENTITY_URL/token'),
    remember: field
      .duration()
      .prefault('30s')
      .describe('longest time an answer of identity counts, 0ms for never; floors end it earlier; default 30s'),
    ...logFields,
    viewSize: field.size().prefault('256MiB').describe('budget of memory of the view; default 256MiB'),
    snapshotPath: field.text().optional().describe('file for snapshots of the view; without it the log is read anew'),
    requestTimeout: field.duration().prefault('60s').describe('longest time a request may take to arrive; default 60s'),
    connectTimeout: field.duration().prefault('3s').describe('longest time to connect to an upstream; default 3s'),
    silence: field
      .duration()
      .prefault('5m')
      .describe('longest silence in the middle of an answer, 0ms for any; default 5m'),
    upstreamConnections: field
      .integer({ min: 1, max: 10_000 })
      .prefault('256')
      .describe('connections to one upstream; default 256'),
    dropHeaders: field.list().optional().describe('more request headers that no caller may send; default none'),
  })
  .superRefine(namesOneLog)
  .superRefine((given, ctx) => {
    const { issuer, introspectionClient, introspectionSecret, trustDomain } = given
    const complain = (key: string, message: string): void => ctx.addIssue({ code: 'custom', path: [key], message })
    if ((introspectionClient === undefined) !== (introspectionSecret === undefined))
      complain('introspectionSecret', 'goes with INTROSPECTION_CLIENT')
    if (introspectionClient !== undefined && issuer === undefined)
      complain('issuer', 'needed with INTROSPECTION_CLIENT')
    if (trustDomain === undefined && issuer === undefined) complain('trustDomain', 'needed without ISSUER')
    const asking = introspectionClient !== undefined
    for (const route of given.routes.leadingTo(given.identityUrl)) {
      if (route.access !== 'protected' || asking) continue
      const { name, introspect, forward } = route
      if (introspect) complain('routes', `route "${name}": introspect: needs INTROSPECTION_CLIENT`)
      if (forward === 'access-token') complain('routes', `route "${name}": forward: needs INTROSPECTION_CLIENT`)
    }
  })

export type GatewayConfig = Readonly<z.output<typeof config>>
