/** What the port shows of a record: the members it names, not those only the store or a newer version knows. */
import type { OutboxRow } from '../outbox.ts'
import type { NewClient } from '../port.ts'
import type {
  Account,
  Affiliation,
  AuthorizationCode,
  Client,
  Device,
  Enrolment,
  Factor,
  Secret,
  Session,
  StepUp,
  Token,
  TokenKey,
} from '../records.ts'

/** Names every member, or it does not compile. */
type Members<R> = { readonly [K in keyof R]-?: true }

interface Show<R> {
  (record: R): R
  (record: R | null): R | null
}

function showing<R extends object>(members: Members<R>): Show<R> {
  const names = Object.keys(members) as (keyof R)[]
  const show = (record: R | null): R | null => {
    if (record === null) return null
    const shown = {} as R
    for (const name of names) shown[name] = record[name]
    return shown
  }
  return show as Show<R>
}

const NEW_CLIENT: Members<NewClient> = {
  id: true,
  name: true,
  authMethod: true,
  secretHash: true,
  jwks: true,
  redirectUris: true,
  grants: true,
  scopes: true,
  audiences: true,
  tokenFormat: true,
  sessionKind: true,
  service: true,
  introspects: true,
}

export const shown: {
  readonly account: Show<Account>
  readonly affiliation: Show<Affiliation>
  readonly session: Show<Session>
  readonly device: Show<Device>
  readonly factor: Show<Factor>
  readonly enrolment: Show<Enrolment>
  readonly stepUp: Show<StepUp>
  readonly newClient: Show<NewClient>
  readonly client: Show<Client>
  readonly token: Show<Token>
  readonly code: Show<AuthorizationCode>
  readonly tokenKey: Show<TokenKey>
  readonly secret: Show<Secret>
  readonly row: Show<OutboxRow>
} = {
  account: showing<Account>({
    sub: true,
    principal: true,
    email: true,
    password: true,
    state: true,
    revision: true,
    createdAt: true,
  }),
  affiliation: showing<Affiliation>({ tenant: true, sub: true, roles: true, state: true, revision: true }),
  session: showing<Session>({
    handle: true,
    kind: true,
    sub: true,
    tenant: true,
    client: true,
    device: true,
    act: true,
    parent: true,
    scope: true,
    createdAt: true,
    lastSeenAt: true,
    idleExpiresAt: true,
    absoluteExpiresAt: true,
    authTime: true,
    amr: true,
    acr: true,
    newDevice: true,
    targets: true,
    refresh: true,
  }),
  device: showing<Device>({
    handle: true,
    sub: true,
    name: true,
    state: true,
    createdAt: true,
    lastSeenAt: true,
  }),
  factor: showing<Factor>({
    handle: true,
    sub: true,
    kind: true,
    name: true,
    createdAt: true,
    lastUsedAt: true,
    totp: true,
    codes: true,
    webauthn: true,
  }),
  enrolment: showing<Enrolment>({
    session: true,
    sub: true,
    kind: true,
    name: true,
    sealedSecret: true,
    challenge: true,
    expiresAt: true,
  }),
  stepUp: showing<StepUp>({
    session: true,
    sub: true,
    tenant: true,
    client: true,
    acr: true,
    challenge: true,
    startedAt: true,
    expiresAt: true,
  }),
  newClient: showing<NewClient>(NEW_CLIENT),
  client: showing<Client>({ ...NEW_CLIENT, state: true, revision: true, createdAt: true }),
  token: showing<Token>({
    handle: true,
    session: true,
    kind: true,
    principal: true,
    sub: true,
    tenant: true,
    client: true,
    device: true,
    act: true,
    audience: true,
    scopes: true,
    authTime: true,
    amr: true,
    acr: true,
    issuedAt: true,
    expiresAt: true,
    targets: true,
  }),
  code: showing<AuthorizationCode>({
    client: true,
    redirectUri: true,
    challenge: true,
    session: true,
    scope: true,
    audience: true,
    expiresAt: true,
    usedFor: true,
  }),
  tokenKey: showing<TokenKey>({
    kid: true,
    alg: true,
    publicJwk: true,
    sealedPrivate: true,
    createdAt: true,
    signsFrom: true,
  }),
  secret: showing<Secret>({ name: true, use: true, hash: true }),
  row: showing<OutboxRow>({
    seq: true,
    id: true,
    body: true,
    signature: true,
    state: true,
    position: true,
    floor: true,
    createdAt: true,
  }),
}
