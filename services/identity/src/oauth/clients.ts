/** Clients as operators administer them. What takes something from a client ends what it holds; the rest does not. */
import { type Clock, newHandle, type Random } from '@countersign/kernel'
import { target } from '@countersign/revocation'
import type { Change, Client, NewClient, Refused, SessionStore } from '@countersign/session-store'
import { clientKeyFault } from '@countersign/tokens'
import { type Answer, freshId, requestDigest } from '../answers.ts'
import type { Authority } from '../authority.ts'
import type { EndingPath } from '../endings.ts'
import type { Asked } from '../people/administration.ts'
import { clientSecretHash } from './client-authentication.ts'
import { TOKEN_EXCHANGE } from './exchange-request.ts'

export interface ClientsOptions {
  readonly store: SessionStore
  readonly authority: Pick<Authority, 'end'>
  readonly clock: Clock
  readonly random: Random
}

/** What an operator says of a client; its secret is made here. */
export type ClientTerms = Omit<NewClient, 'secretHash'>

/** Members of a client that contradict one another. */
export type ClientFault = { readonly wrong: readonly (keyof ClientTerms)[] }

const SECRET_BYTES = 32
const TRIES = 5

export class Clients {
  readonly #options: ClientsOptions

  constructor(options: ClientsOptions) {
    this.#options = options
  }

  /** Makes a client. @returns its secret, shown once, null when it has none. @throws {SESSION_STORE_UNAVAILABLE}. */
  async create(
    terms: Omit<ClientTerms, 'id'> & { readonly id?: string },
  ): Promise<{ readonly client: Client; readonly secret: string | null } | Refused | ClientFault> {
    const { store, clock, random } = this.#options
    const given: ClientTerms = { ...terms, id: terms.id ?? newHandle(random, 'client') }
    const wrong = await this.#wrong(given)
    if (wrong.length > 0) return { wrong }
    const secret = hasSecret(given) ? mint(random) : null
    const secretHash = secret === null ? null : clientSecretHash(secret)
    const made = await store.createClient({ ...given, secretHash }, clock.now())
    return 'refused' in made ? made : { client: made, secret }
  }

  /** Changes a client. @returns an answer when that took something from it, else the client. @throws {SESSION_STORE_UNAVAILABLE}. */
  async change(
    id: string,
    changes: Partial<Omit<ClientTerms, 'id'>>,
    asked: Asked,
  ): Promise<Answer | Client | Refused | ClientFault> {
    const { store } = this.#options
    const askedWith = { ...asked, id: asked.id ?? freshId(this.#options.random) }
    for (let tries = 1; ; tries++) {
      const before = await store.client(id)
      if (before === null) return { refused: 'client_unknown' }
      const { revision, createdAt: _, state: __, ...terms } = before
      const merged: NewClient = { ...terms, ...changes }
      // One that showed itself in another way in between does not come back to an old secret.
      const after = hasSecret(merged) ? merged : { ...merged, secretHash: null }
      const wrong = await this.#wrong(after)
      // A secret comes with being made, or with rotation: no other way of showing who it is can be turned into one.
      if (hasSecret(after) && after.secretHash === null) wrong.push('authMethod')
      if (wrong.length > 0) return { wrong }
      const result = narrows(before, after)
        ? await this.#end(
            'client_narrowing',
            id,
            askedWith,
            { kind: 'client_narrowed', client: after, revision },
            changes,
          )
        : await store.updateClient(after, revision)
      const code = 'refused' in result ? result.refused : 'code' in result ? result.code : null
      if (code !== 'client_changed' || tries === TRIES) return result
    }
  }

  disable(id: string, asked: Asked): Promise<Answer> {
    return this.#end('client_disable', id, asked, { kind: 'client_disabled', client: id }, null)
  }

  /** Lets a client ask again. What was ended stays ended. */
  enable(id: string): Promise<Client | Refused> {
    return this.#options.store.restoreClient(id)
  }

  /**
   * Gives a client a new secret, shown once; the old one is void at once and what was made with it ends.
   * @returns the answer, and the secret if it is in force. @throws {SESSION_STORE_UNAVAILABLE} before anything was changed.
   */
  async rotateSecret(
    id: string,
    asked: Asked,
  ): Promise<{ readonly answer: Answer; readonly secret: string | null } | Refused | ClientFault> {
    const { store, random } = this.#options
    const before = await store.client(id)
    if (before === null) return { refused: 'client_unknown' }
    if (!hasSecret(before)) return { wrong: ['authMethod'] }
    const secret = mint(random)
    const secretHash = clientSecretHash(secret)
    const { revision } = before
    const change: Change = { kind: 'client_secret_rotated', client: id, secretHash, revision }
    // The digest names the secret: asked again with its id, another secret is refused rather than shown and not in force.
    const answer = await this.#end('client_secret_rotation', id, asked, change, secretHash.toString('base64url'))
    const done = answer.state === 'acknowledged' || answer.state === 'pending'
    return { answer, secret: done ? secret : null }
  }

  #end(path: EndingPath, client: string, asked: Asked, change: Change, what: unknown): Promise<Answer> {
    const id = asked.id ?? freshId(this.#options.random)
    return this.#options.authority.end(path, {
      id,
      request: requestDigest([path, client, what]),
      initiator: asked.initiator,
      ...(asked.requestId !== undefined && { requestId: asked.requestId }),
      tenant: null,
      change,
      facts: { target: target('client', client) },
    })
  }

  async #wrong(terms: ClientTerms): Promise<(keyof ClientTerms)[]> {
    const wrong = contradictions(terms)
    if (terms.service === null || wrong.includes('service')) return wrong
    const { store } = this.#options
    const [account, place] = await Promise.all([
      store.account(terms.service.sub),
      store.affiliation(terms.service.tenant, terms.service.sub),
    ])
    return account?.principal === 'service' && place !== null ? wrong : [...wrong, 'service']
  }
}

/** What no member can say alone. @returns members at fault. */
export function contradictions(terms: ClientTerms): (keyof ClientTerms)[] {
  const { authMethod, grants, jwks, redirectUris, audiences, service, introspects } = terms
  const wrong: (keyof ClientTerms)[] = []
  if ((authMethod === 'private_key_jwt') !== (jwks !== null) || (jwks !== null && clientKeyFault(jwks) !== null))
    wrong.push('jwks')
  if (grants.includes('authorization_code') !== redirectUris.length > 0 || !redirectUris.every(isRedirectUri))
    wrong.push('redirectUris')
  if (grants.includes('refresh_token') && !grants.includes('authorization_code')) wrong.push('grants')
  const acts = grants.includes('client_credentials') || grants.includes(TOKEN_EXCHANGE)
  if (acts !== (service !== null)) wrong.push('service')
  // Only what a token is for may exchange it.
  if (grants.includes(TOKEN_EXCHANGE) && introspects.length === 0) wrong.push('introspects')
  if (grants.length > 0 && audiences.length === 0) wrong.push('audiences')
  // A name alone shows nothing: such a client neither acts as itself nor learns about tokens.
  if (authMethod === 'none' && (service !== null || introspects.length > 0)) wrong.push('authMethod')
  return wrong
}

/**
 * True for an address a code may be sent to: over TLS, on this machine, or to an app that owns the scheme by its name
 * (RFC 8252 §7.1); without fragment (RFC 6749 §3.1.2) or user.
 */
export function isRedirectUri(text: string): boolean {
  if (!URL.canParse(text) || text.includes('#') || !/^[\x21-\x7e]{1,512}$/.test(text)) return false
  const { protocol, hostname, username, password } = new URL(text)
  if (username !== '' || password !== '') return false
  if (protocol === 'https:') return true
  if (protocol === 'http:') return ['127.0.0.1', '[::1]', 'localhost'].includes(hostname)
  return protocol.includes('.')
}

/** True for a client that shows a secret of ours. */
export function hasSecret({ authMethod }: Pick<Client, 'authMethod'>): boolean {
  return authMethod === 'client_secret_basic' || authMethod === 'client_secret_post'
}

/** True when something made under the old terms could not be made under the new ones. */
function narrows(before: NewClient, after: NewClient): boolean {
  const lists = ['scopes', 'audiences', 'redirectUris', 'grants', 'introspects'] as const
  if (lists.some((list) => before[list].some((item: string) => !(after[list] as readonly string[]).includes(item))))
    return true
  const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b)
  // Another way to show who it is, another key or another account: who held the old one holds nothing any more.
  return before.authMethod !== after.authMethod || before.jwks !== after.jwks || !same(before.service, after.service)
}

function mint(random: Random): string {
  return `cs_${random.bytes(SECRET_BYTES).toString('base64url')}`
}
