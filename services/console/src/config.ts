/** Configuration of the console, from `COUNTERSIGN_*`. */
import { hostFields, logFields, namesOneLog, viewFields } from '@countersign/host'
import { field } from '@countersign/kernel'
import { z } from 'zod'

export const config = z
  .object({
    ...hostFields,
    ...viewFields,
    ...logFields,
    identityUrl: field.url().describe('address of identity'),
    issuer: field.text().describe('issuer of identity, exactly'),
    signInUrl: field.url().optional().describe('where browsers find identity; default ISSUER'),
    publicUrl: field
      .url()
      .optional()
      .describe(
        'where browsers find the console; PUBLIC_URL/signed-in is the redirect URI of its client; default its own address',
      ),
    clientId: field.text().default('console').describe('client id of the console at identity; default console'),
    clientSecret: field.secret().describe('secret of CLIENT_ID; use _FILE'),
    operatorSecret: field.secret().describe('secret identity knows the console by, of use operator; use _FILE'),
    successorSecret: field
      .secret()
      .optional()
      .describe(
        'secret identity knows the console by, of use service: redriven work past its envelope goes on under a successor; use _FILE; default it is denied',
      ),
    tenant: field.text().describe('tenant whose administrators operate this system'),
    role: field.text().default('admin').describe('role they have there; default admin'),
    acr: z
      .enum(['pwd', 'mfa', 'phr'])
      .default('mfa')
      .describe('how strongly they must have shown themselves: pwd, mfa or phr; default mfa'),
    recent: field
      .duration()
      .prefault('10m')
      .describe('how long ago at most, for whatever changes something; default 10m'),
    reproveEvery: field
      .duration()
      .prefault('5m')
      .describe('how often identity is asked whether somebody is still logged in there; default 5m'),
    sessionLife: field.duration().prefault('4h').describe('longest life of a session here; default 4h'),
    askTimeout: field.duration().prefault('2s').describe('how long a page waits for what it asks; default 2s'),
    lookback: field.duration().prefault('1h').describe('how far back lists and charts go; default 1h'),
    archivePath: field
      .text()
      .optional()
      .describe('archive of the audit, for explanations; default: the log itself is read through for each'),
    window: field.duration().prefault('1d').describe("identity's WINDOW, for the drift of topics; default 1d"),
    insecureCookies: field
      .flag()
      .prefault('false')
      .describe('development only: cookies without Secure, over plain HTTP'),
    trustedProxies: field.list().optional().describe('addresses whose X-Forwarded-For counts; default none'),
  })
  .superRefine(namesOneLog)

export type ConsoleConfig = Readonly<z.output<typeof config>>
