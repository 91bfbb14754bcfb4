/** Messages of each kind, as a producer would send them: the same jobs and people, their identity in another form. */
import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { type SigningKey, seal } from '@countersign/envelope'
import { systemRandom } from '@countersign/kernel'
import { type Codec, ENVELOPE_HEADER, frame } from '@countersign/schemas'
import { SignJWT } from 'jose'
import { type Draft, draft } from '../decide/workload.ts'
import { AUDIENCE, type Export, type Kind, SCOPE } from './contract.ts'

export interface Message {
  readonly key: Buffer
  readonly value: Buffer
  readonly headers: Readonly<Record<string, Buffer>>
}

export interface Made {
  readonly messages: readonly Message[]
  /** Sessions of these messages that were ended. */
  readonly ended: readonly string[]
  /** Messages that must be denied. */
  readonly denied: number
}

/** Makes messages of one run. */
export class Maker {
  readonly #key: SigningKey
  readonly #codec: Codec<unknown>
  readonly #schemaId: number
  readonly #now: number
  readonly #issuers: Readonly<
    Record<'EdDSA' | 'RS256', { readonly publicPem: string; readonly privateKey: KeyObject }>
  > = {
    EdDSA: pair(generateKeyPairSync('ed25519')),
    RS256: pair(generateKeyPairSync('rsa', { modulusLength: 2048 })),
  }

  constructor(key: SigningKey, codec: Codec<unknown>, schemaId: number, now: number) {
    this.#key = key
    this.#codec = codec
    this.#schemaId = schemaId
    this.#now = now
  }

  get issuers(): Readonly<Record<'EdDSA' | 'RS256', string>> {
    return { EdDSA: this.#issuers.EdDSA.publicPem, RS256: this.#issuers.RS256.publicPem }
  }

  /** @param size messages sealed together; a divisor of `count`. */
  async make(kind: Kind, topic: string, count: number, size: number): Promise<Made> {
    const messages: Message[] = []
    const ended: string[] = []
    while (messages.length < count) {
      const about = { now: this.#now, topic, audience: AUDIENCE, value: (n: number) => this.#value(n) }
      const drafts = Array.from({ length: size }, (_, i) => draft(messages.length + i, systemRandom, about))
      for (const each of drafts) if (each.ended) ended.push(each.claims.tctx.session ?? '')
      const headers = await this.#headers(kind, drafts)
      for (const [i, { key, value }] of drafts.entries()) messages.push({ key, value, headers: headers[i] ?? {} })
    }
    return { messages, ended, denied: kind === 'plain' ? 0 : ended.length }
  }

  async #headers(kind: Kind, drafts: readonly Draft[]): Promise<Record<string, Buffer>[]> {
    switch (kind) {
      case 'sealed':
        return seal(
          drafts.map(({ claims }) => claims),
          this.#key,
        ).map((envelope) => ({ [ENVELOPE_HEADER]: envelope }))
      case 'plain':
        return drafts.map(() => ({}))
      case 'claims':
        return drafts.map((each) => ({ identity: Buffer.from(JSON.stringify(identityOf(each))) }))
      case 'opaque':
        return drafts.map((each) => ({
          token: Buffer.from(`at_${each.ended ? 'e' : 'l'}_${each.claims.tctx.session}`),
        }))
      default:
        return Promise.all(drafts.map(async (each) => ({ token: Buffer.from(await this.#jwt(kind, each)) })))
    }
  }

  #jwt(kind: Kind, { claims }: Draft): Promise<string> {
    const alg = kind === 'jwt-rs256' ? 'RS256' : 'EdDSA'
    return new SignJWT({
      client_id: claims.tctx.client,
      sid: claims.tctx.session,
      tenant: claims.tctx.tenant,
      scope: claims.scope.join(' '),
      acr: claims.rctx.acr,
      amr: [...claims.rctx.amr],
      txn: claims.txn,
    })
      .setProtectedHeader({ alg, typ: 'at+jwt', kid: 'k1' })
      .setIssuer('https://id.example')
      .setAudience(AUDIENCE)
      .setSubject(claims.sub)
      .setJti(claims.txn)
      .setIssuedAt(Math.floor(claims.iat / 1000))
      .setExpirationTime(Math.floor(claims.exp / 1000))
      .sign(this.#issuers[alg].privateKey)
  }

  #value(n: number): Buffer {
    const note = systemRandom.bytes(750).toString('base64')
    const value: Export = { invoice_id: `inv-${n}`, format: 'csv', note }
    return frame(this.#schemaId, this.#codec.encode(value))
  }
}

/** What a team would put into a header that it trusts. */
export interface TrustedIdentity {
  readonly sub: string
  readonly tenant: string
  readonly client: string
  readonly session: string
  readonly txn: string
  readonly scopes: readonly string[]
  /** Epoch ms; versions of everything it names. */
  readonly version: number
}

function identityOf({ claims }: Draft): TrustedIdentity {
  const { tenant, client, session } = claims.tctx
  const version = claims.tctx.scope_version
  return {
    sub: claims.sub,
    tenant,
    client: client ?? '',
    session: session ?? '',
    txn: claims.txn,
    scopes: claims.scope,
    version,
  }
}

/** Names under which a team would keep floors of this identity. */
export function floorNames({ sub, tenant, client, session, txn }: TrustedIdentity): string[] {
  return [`t:${tenant}`, `u:${sub}`, `a:${tenant}:${sub}`, `c:${client}`, `s:${session}`, `x:${txn}`]
}

/** @returns whether this identity may do the job. */
export function permits({ scopes, version }: TrustedIdentity, floors: readonly (string | null | undefined)[]): boolean {
  return (
    scopes.includes(SCOPE) && floors.every((floor) => floor === null || floor === undefined || Number(floor) <= version)
  )
}

function pair({ publicKey, privateKey }: { publicKey: KeyObject; privateKey: KeyObject }) {
  return { publicPem: publicKey.export({ type: 'spki', format: 'pem' }).toString(), privateKey }
}
