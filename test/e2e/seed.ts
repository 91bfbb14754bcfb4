/** Who is at a site at its start: people, the clients that act for them, services, and the secrets of all. */
import { PASSWORD, REDIRECT_URI } from '../identity/people.ts'

export { PASSWORD }

export const SERVICE_SECRET = 'service-secret-service-secret-0123456789'
export const OPERATOR_SECRET = 'operator-secret-operator-secret-0123456'
export const SCHEDULE_SECRET = 'schedule-secret-schedule-secret-0123456'
export const WEBHOOK_SECRET = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'
export const ISSUER = 'https://identity.example'
export const TOKEN_EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange'
/** Of the Txn-Tokens behind a gateway. */
export const TRUST_DOMAIN = 'countersign.example'
/** What doctor shows workers. */
export const PROBE_SECRET = 'probe-secret-probe-secret-0123456789abc'
/** Of every client that has one, below. */
export const CLIENT_SECRET = 'client-secret-client-secret-0123456789ab'

const SCOPES: readonly string[] = ['invoices:export', 'payments:run', 'reports:build']
/** The tenant of doctor, which owns nothing; its roles grant what the routes demand. */
const DOCTORS = { tenant: 'doctor', roles: ['accountant', 'member'] }

/** Clients that act for people, by name, and the api itself, which introspects. */
const CLIENTS: readonly object[] = [
  client('spa', { grants: ['authorization_code'] }),
  client('app', { grants: ['authorization_code', 'refresh_token'] }),
  client('opaque', { grants: ['authorization_code', 'refresh_token'], tokenFormat: 'opaque' }),
  { id: 'api', name: 'api', authMethod: 'client_secret_basic', secret: CLIENT_SECRET, introspects: ['api'] },
  // What it has judged it may exchange for a token that is good behind it alone.
  service('gateway', { grants: [TOKEN_EXCHANGE], audiences: ['ledger'], introspects: ['api', TRUST_DOMAIN] }, 'acme'),
  // A service in between: what is for it, it exchanges for what is for the api.
  client('portal-page', { grants: ['authorization_code'], audiences: ['portal'] }),
  service('portal', { grants: [TOKEN_EXCHANGE], audiences: ['api'], introspects: ['portal'] }, 'acme'),
  // Its own audience first, which no route has.
  service('doctor', { grants: ['client_credentials'], audiences: ['doctor', 'api'] }),
]

/** What identity makes at its first start. @param people accountants `person-0` and so on in `acme`, beside those there always are. */
export function seedOf(people: number): object {
  return {
    accounts: [
      account('ann', 'acme', ['admin']),
      account('bob', 'acme', ['accountant']),
      account('eve', 'globex', ['viewer']),
      serviceAccount('doctor', DOCTORS),
      serviceAccount('gateway', { tenant: 'acme', roles: ['accountant', 'member'] }),
      serviceAccount('portal', { tenant: 'acme', roles: ['accountant'] }),
      ...Array.from({ length: people }, (_, i) => account(`person-${i}`, 'acme', ['accountant'])),
    ],
    secrets: [
      { name: 'api', use: 'service', secret: SERVICE_SECRET },
      { name: 'op', use: 'operator', secret: OPERATOR_SECRET },
    ],
    clients: CLIENTS,
  }
}

function client(id: string, more: object): object {
  const shared = {
    authMethod: 'client_secret_basic',
    secret: CLIENT_SECRET,
    redirectUris: [REDIRECT_URI],
    scopes: SCOPES,
  }
  return { id, name: id, ...shared, audiences: ['api'], ...more }
}

/** A client that acts as the service account of its name. */
function service(id: string, more: object, tenant = DOCTORS.tenant): object {
  const acts = { service: { sub: `svc_${id}`, tenant }, redirectUris: [] }
  return client(id, { ...acts, scopes: [...SCOPES, 'emails:send'], ...more })
}

function serviceAccount(name: string, affiliation: object): object {
  return { principal: 'service', sub: `svc_${name}`, email: `${name}@example.com`, affiliations: [affiliation] }
}

function account(name: string, tenant: string, roles: string[]): object {
  const email = `${name}@example.com`
  return { sub: `sub_${name}`, email, password: PASSWORD, affiliations: [{ tenant, roles }] }
}
