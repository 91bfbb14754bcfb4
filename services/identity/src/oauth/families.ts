/** Begins families of refresh tokens: sessions that clients hold on behalf of a person who is logged in. */
import { type Clock, type Millis, newHandle, type Random } from '@countersign/kernel'
import { type Client, type NewSession, type Session, SessionStoreError } from '@countersign/session-store'
import { factorOf } from '../factors/strength.ts'
import type { Beginning, Begun, Sessions } from '../sessions/sessions.ts'
import type { RefreshTokens } from '../tokens/index.ts'
import { OFFLINE_ACCESS } from './scopes.ts'

export interface FamiliesOptions {
  readonly sessions: Pick<Sessions, 'begin'>
  readonly refreshTokens: Pick<RefreshTokens, 'begin'>
  readonly clock: Clock
  readonly random: Random
  /** Life of a family whose client may not refresh: that of its access token. */
  readonly unrefreshedMs: Millis
}

export class Families {
  readonly #options: FamiliesOptions

  constructor(options: FamiliesOptions) {
    this.#options = options
  }

  /**
   * Begins a family and uses up the code it was authorised by, in one step.
   * @param authorised session of the person, live when it was read.
   * @throws {SESSION_STORE_UNAVAILABLE}.
   */
  async begin(
    client: Client,
    authorised: Session,
    { scope, codeHash }: { readonly scope: readonly string[]; readonly codeHash: Buffer },
  ): Promise<Begun> {
    const { sessions, refreshTokens, clock, random, unrefreshedMs } = this.#options
    const { sub, tenant, authTime, amr, acr } = authorised
    const offline = scope.includes(OFFLINE_ACCESS)
    const ends = [
      offline ? Number.POSITIVE_INFINITY : authorised.absoluteExpiresAt,
      client.grants.includes('refresh_token') ? Number.POSITIVE_INFINITY : clock.now() + unrefreshedMs,
    ]
    const beginning: Beginning = {
      handle: newHandle(random, 'fam'),
      kind: client.sessionKind,
      credential: { kind: 'refresh', ...refreshTokens.begin() },
      sub,
      tenant,
      client: client.id,
      device: deviceOf(client, authorised, random),
      factor: factorOf(authorised),
      parent: offline ? null : authorised.handle,
      scope,
      authTime,
      amr,
      acr,
      codeHash,
      notAfter: Math.min(...ends),
    }
    try {
      return await sessions.begin(beginning)
    } catch (error) {
      if (!(error instanceof SessionStoreError) || error.outcome !== 'unknown') throw error
      // It may have begun. The same handle asks; the client, sent away to try again, would look like a thief.
      return sessions.begin(beginning)
    }
  }
}

/** A client that stands for a device is one of its own; any other ends with the device of its session. */
function deviceOf(client: Client, { device }: Session, random: Random): NewSession['device'] {
  // Nobody is told this secret: such a device is known by its family alone.
  if (client.sessionKind === 'device')
    return { handle: newHandle(random, 'dev'), secretHash: random.bytes(32), name: client.name }
  return device === null ? null : { handle: device, secretHash: null, name: '' }
}
