/**
 * The keys that sign for others: those of the trust bundles, and identity's own that sign tokens. Giving one up is one
 * signal, which ends all that it has signed and all that came of it; the bundles without it follow. There is no way back.
 */
import type { Clock, Millis, Random } from '@countersign/kernel'
import { signerTarget, type Target } from '@countersign/revocation'
import type { KeyUse } from '@countersign/schemas'
import type { SessionStore } from '@countersign/session-store'
import { type Answer, answerOf, freshId, requestDigest } from './answers.ts'
import type { Authority } from './authority.ts'
import { SIGNAL_KEY } from './key-files.ts'
import { highestFloor, type OwnKeys, type OwnView } from './log/own-view.ts'
import type { Asked } from './people/administration.ts'
import type { TokenKeys } from './tokens/index.ts'

/** A key as operators see it; times in epoch milliseconds. */
export interface KeyView {
  /** In bundles the name of its file, of tokens its `kid`. */
  readonly id: string
  readonly use: KeyUse | 'token'
  readonly tenants: readonly string[]
  readonly topics: readonly string[]
  readonly notBefore: number
  /** Null for as long as it is published. */
  readonly notAfter: number | null
  /** The log says so, and the bundle without it is still to come. */
  readonly givenUp: boolean
}

export interface GivenUp {
  readonly answer: Answer
  readonly key: Pick<KeyView, 'id' | 'use'>
  /** Whether no bundle in force on the own view names it any more. */
  readonly withdrawn: boolean
}

export interface SigningKeysOptions {
  readonly view: OwnView & OwnKeys
  readonly store: Pick<SessionStore, 'target'>
  readonly authority: Pick<Authority, 'end' | 'status'>
  readonly tokenKeys: Pick<TokenKeys, 'published' | 'giveUp'>
  readonly clock: Clock
  readonly random: Random
  /** How long an answer waits for the bundle without the key. */
  readonly withdrawnWithinMs: Millis
}

interface Found extends KeyView {
  readonly signer: Target
}

const LOOK_MS = 25

export class SigningKeys {
  readonly #options: SigningKeysOptions
  /** One after the other: two at once would each take the other's key for the one that is left. */
  #turn: Promise<unknown> = Promise.resolve()

  constructor(options: SigningKeysOptions) {
    this.#options = options
  }

  /** @returns every key once: those of bundles in their order, then those of tokens, oldest first. */
  list(): readonly KeyView[] {
    return this.#found().map(({ signer: _, ...key }) => key)
  }

  /**
   * Ends all that a key has signed.
   * @returns `key_unknown` for a name no key has, `key_indispensable` for the key identity signs signals
   *   with, and for the last checkpoint key in force.
   * @throws {SESSION_STORE_UNAVAILABLE} before anything was asked; or after the signal, when a key of tokens cannot be taken away: ask again.
   */
  async giveUp(id: string, asked: Asked): Promise<GivenUp | 'key_unknown' | 'key_indispensable'> {
    const { authority, tokenKeys } = this.#options
    const key = this.#found().find((one) => one.id === id)
    if (key === undefined) {
      // Asked again after it had gone: what was answered then.
      const before = asked.id && (await authority.status(asked.id))
      if (before?.cause !== 'key_compromise') return 'key_unknown'
      return { answer: answerOf(before), key: { id, use: 'token' }, withdrawn: true }
    }
    const ending = this.#turn.then(() => this.#end(key, asked))
    this.#turn = ending.catch(() => {})
    const answer = await ending
    if (answer === 'key_indispensable') return answer
    const isTold = answer.state === 'acknowledged' || answer.state === 'pending'
    if (isTold && key.use === 'token') await tokenKeys.giveUp(id)
    return { answer, key: { id, use: key.use }, withdrawn: isTold && (await this.#withdrawn(id)) }
  }

  async #end(key: Found, asked: Asked): Promise<Answer | 'key_indispensable'> {
    const { authority, random } = this.#options
    const { id } = key
    if (await this.#isIndispensable(key)) return 'key_indispensable'
    return authority.end('key_compromise', {
      id: asked.id ?? freshId(random),
      request: requestDigest(['key_compromise', id, key.signer.id]),
      initiator: asked.initiator,
      tenant: null,
      change: { kind: 'none' },
      facts: { target: key.signer },
      ...(asked.requestId !== undefined && { requestId: asked.requestId }),
    })
  }

  /** Takes away keys of tokens that were given up and that a crash, or a store put back, has left. @throws {SESSION_STORE_UNAVAILABLE}. */
  async tend(): Promise<void> {
    const { tokenKeys } = this.#options
    for (const { kid } of tokenKeys.published) if (this.#isGivenUp(signerTarget(kid))) await tokenKeys.giveUp(kid)
  }

  async #withdrawn(id: string): Promise<boolean> {
    const { clock, withdrawnWithinMs } = this.#options
    const deadline = clock.monotonic() + withdrawnWithinMs
    while (this.#found().some((key) => key.id === id)) {
      if (clock.monotonic() >= deadline) return false
      await clock.sleep(LOOK_MS)
    }
    return true
  }

  #found(): readonly Found[] {
    const { view, tokenKeys } = this.#options
    const found = new Map<string, Found>()
    for (const log of view.byTenant?.views ?? [view]) {
      for (const grant of log.ring()?.bundle.keys ?? []) {
        const signer = signerTarget(grant.public_key)
        const known = found.get(signer.id)
        // A log names only the tenants it owns.
        const tenants = [...new Set([...(known?.tenants ?? []), ...grant.tenants])]
        const { key_id: id, use, topics, not_before: notBefore, not_after: notAfter } = grant
        found.set(signer.id, {
          id,
          use,
          tenants,
          topics,
          notBefore,
          notAfter,
          signer,
          givenUp: this.#isGivenUp(signer),
        })
      }
    }
    const tokens = tokenKeys.published.map(({ kid: id, createdAt, signsFrom }): Found => {
      const signer = signerTarget(id)
      const times = { notBefore: Math.max(createdAt, signsFrom), notAfter: null }
      return { id, use: 'token', tenants: ['*'], topics: [], ...times, signer, givenUp: this.#isGivenUp(signer) }
    })
    return [...found.values(), ...tokens]
  }

  #isGivenUp(signer: Target): boolean {
    return highestFloor(this.#options.view, signer) > 0
  }

  /** Whether without it nothing could be ended, or told, any more: identity signs with one key, and notaries with several. */
  async #isIndispensable(key: Found): Promise<boolean> {
    if (key.use === 'signal') return key.id === SIGNAL_KEY
    if (key.use !== 'checkpoint') return false
    for (const one of this.#found()) if (one.id !== key.id && (await this.#replaces(one, key))) return false
    return true
  }

  async #replaces(one: Found, { use }: Found): Promise<boolean> {
    const { clock, store } = this.#options
    const now = clock.now()
    const { notBefore, notAfter, givenUp } = one
    if (one.use !== use || givenUp || notBefore > now || now >= (notAfter ?? Number.POSITIVE_INFINITY)) return false
    // The log may be slow to say so.
    return ((await store.target(one.signer))?.endedBelow ?? 0) === 0
  }
}
