/**
 * Keys that sign access tokens, shared by all instances through the store. A key is published before it signs and until
 * no token it signed can live; its private half is sealed under a key the store does not have.
 *
 * Invariants: what is published, and what signs, comes from a sealed private half alone: whoever writes the store can
 * take keys away, not put one in. Waiting is measured on the monotonic clock from what this process has seen, so that no
 * step of the wall clock lets a key sign early or takes one from tokens that live.
 */
import { type Clock, CountersignError, days, type Millis, minutes, type Random, seconds } from '@countersign/kernel'
import type { SessionStore, TokenKey } from '@countersign/session-store'
import type { Logger } from '@countersign/telemetry'
import {
  createSigner,
  generateTokenKey,
  type JwkSet,
  keySetDocument,
  LocalKeys,
  type Signer,
  type SigningAlgorithm,
  type TokenKeyPair,
} from '@countersign/tokens'
import { KeySeal } from './key-seal.ts'

/** When keys come and go. */
export interface TokenKeyTimes {
  /** Between two keys. Default 30 days. */
  readonly everyMs: Millis
  /**
   * How long a key is published before it signs: longer than any reader goes without looking, that is our own
   * instances (`reloadMs`), caches on the way (`KEY_SET_MAX_AGE_S`) and readers (10 minutes) together. Default 20 minutes.
   */
  readonly publishMs: Millis
  /** How long a key is published after its last token: the life of a token and the skew of its readers. Default 10 minutes. */
  readonly retireMs: Millis
  /** Between two looks at the store. Default 1 minute. */
  readonly reloadMs: Millis
}

export interface TokenKeysOptions {
  readonly store: Pick<SessionStore, 'tokenKeys' | 'addTokenKey' | 'dropTokenKeys'>
  /** 32 bytes each, the same for all instances; the first seals, the others open still. */
  readonly secrets: readonly Buffer[]
  /** Of keys made from now on. */
  readonly alg: SigningAlgorithm
  readonly clock: Clock
  readonly random: Random
  readonly logger: Pick<Logger, 'info' | 'error'>
  /** Whether a key was given up, by kid: it signs nothing from then on. @defaultValue none was */
  readonly isGivenUp?: (kid: string) => boolean
  readonly times?: Partial<TokenKeyTimes>
}

/** `Cache-Control: max-age` of the key set, seconds. */
export const KEY_SET_MAX_AGE_S = 300

const TIMES: TokenKeyTimes = { everyMs: days(30), publishMs: minutes(20), retireMs: minutes(10), reloadMs: minutes(1) }
// Whoever sends tokens can name any key id: each must not be a question to the store.
const LEARN_EVERY = seconds(1)

interface Held {
  readonly pair: TokenKeyPair
  readonly record: TokenKey
  /** When it has been published for long enough, monotonic. */
  readonly readyAt: number
  readonly signers: Map<string, Signer>
}

export class TokenKeys {
  /** Public halves, for verifying our own tokens. */
  readonly local: LocalKeys = new LocalKeys()
  readonly #options: TokenKeysOptions
  readonly #times: TokenKeyTimes
  readonly #seal: KeySeal
  /** Oldest first. */
  #held: readonly Held[] = []
  #newest: TokenKey | null = null
  #document: JwkSet = { keys: [] }
  /** When this process first saw that another key had taken over, by kid; monotonic. */
  readonly #supersededAt = new Map<string, number>()
  #loadedAt = Number.NEGATIVE_INFINITY
  #triedAt = Number.NEGATIVE_INFINITY
  #loading: Promise<void> | null = null
  #turn: Promise<unknown> = Promise.resolve()

  constructor(options: TokenKeysOptions) {
    this.#options = options
    this.#times = { ...TIMES, ...options.times }
    this.#seal = new KeySeal(options)
  }

  /** Reads the keys, and makes the first if there is none that is ours. @throws {SESSION_STORE_UNAVAILABLE}. */
  async open(): Promise<void> {
    await this.#load()
    if (this.#held.length === 0) await this.rotate()
  }

  /** The document to publish; the same object until keys change. */
  document(): JwkSet {
    return this.#document
  }

  /**
   * The signer of the key in force.
   * @param typ of the tokens to sign.
   * @throws {IDENTITY_TOKEN_KEYS_STALE} retriable, when the store was not read for so long that the key may be gone.
   */
  signer(typ: string): Signer {
    const held = this.#current()
    if (!held || this.#options.clock.monotonic() - this.#loadedAt > this.#times.publishMs) throw stale()
    let signer = held.signers.get(typ)
    if (!signer) {
      signer = createSigner({ key: held.pair, typ })
      held.signers.set(typ, signer)
    }
    return signer
  }

  /** Looks for keys of other instances, at most once a second. @returns whether it looked; false also when the store is away. */
  async learn(): Promise<boolean> {
    const { clock, logger } = this.#options
    if (!this.#loading && clock.monotonic() - this.#triedAt < LEARN_EVERY) return false
    try {
      await this.#load()
      return true
    } catch (error) {
      logger.error({ error }, 'token keys could not be read')
      return false
    }
  }

  /** Does what is due: looks at the store, makes the next key, drops those no token needs. @throws {SESSION_STORE_UNAVAILABLE}. */
  async tend(): Promise<void> {
    const { clock, alg } = this.#options
    const { reloadMs, everyMs } = this.#times
    if (clock.monotonic() - this.#triedAt < reloadMs) return
    await this.#load()
    const newest = this.#held.at(-1)
    // A key that still waits is not followed by another.
    const waits = newest !== undefined && newest !== this.#current()
    if (!waits) {
      const { alg: of, createdAt } = newest?.record ?? { alg: '', createdAt: 0 }
      if (of !== alg || clock.now() - createdAt >= everyMs) await this.rotate()
    }
    await this.#drop()
  }

  /** Makes the next key; it signs once it has been published for long enough. One call wins among instances. @throws {SESSION_STORE_UNAVAILABLE}. */
  async rotate(): Promise<void> {
    const { alg } = this.#options
    const pair = await generateTokenKey(alg)
    await this.#inTurn(() => this.#add(pair))
  }

  /** Takes a key away at once; another takes its place, however short a time it has been published. @throws {SESSION_STORE_UNAVAILABLE}. */
  async giveUp(kid: string): Promise<void> {
    await this.#options.store.dropTokenKeys([kid])
    await this.#load()
    if (this.#held.length === 0) await this.rotate()
  }

  /** Keys that are published, newest last. */
  get published(): readonly Pick<TokenKey, 'kid' | 'alg' | 'createdAt' | 'signsFrom'>[] {
    return this.#held.map(({ record: { kid, alg, createdAt, signsFrom } }) => ({ kid, alg, createdAt, signsFrom }))
  }

  async #add(pair: TokenKeyPair): Promise<void> {
    const { store, alg, clock, logger } = this.#options
    // Rises, so that the newest is the newest by every order.
    const createdAt = Math.max(clock.now(), (this.#newest?.createdAt ?? 0) + 1)
    // Where no key signs, nobody waits for an old one.
    const signsFrom = this.#held.length === 0 ? createdAt : createdAt + this.#times.publishMs
    const { kid } = pair
    const publicJwk = JSON.stringify(pair.publicJwk)
    const key: TokenKey = { kid, alg, publicJwk, sealedPrivate: this.#seal.seal(pair), createdAt, signsFrom }
    const records = await store.addTokenKey(key, this.#newest?.kid ?? null)
    await this.#take(records)
    if (records.some((record) => record.kid === kid)) logger.info({ kid, signsFrom }, 'token key made')
  }

  #load(): Promise<void> {
    const { store, clock } = this.#options
    this.#triedAt = clock.monotonic()
    this.#loading ??= this.#inTurn(async () => this.#take(await store.tokenKeys())).finally(() => {
      this.#loading = null
    })
    return this.#loading
  }

  // One at a time: an answer asked for earlier must not replace a later one.
  #inTurn(step: () => Promise<void>): Promise<void> {
    const done = this.#turn.then(step)
    this.#turn = done.catch(() => {})
    return done
  }

  async #take(records: readonly TokenKey[]): Promise<void> {
    const { clock, logger } = this.#options
    const { publishMs } = this.#times
    const starting = this.#loadedAt === Number.NEGATIVE_INFINITY
    const known = new Map(this.#held.map((held) => [held.record.kid, held]))
    const held: Held[] = []
    for (const record of records) {
      const already = known.get(record.kid)
      const pair = already?.pair ?? (await this.#seal.open(record))
      if (already) held.push(already)
      else if (pair) {
        // One that comes up while we run has been published for no time at all, whatever the clock of its maker said.
        const waits = starting ? Math.min(publishMs, Math.max(0, record.signsFrom - clock.now())) : publishMs
        held.push({ pair, record, readyAt: clock.monotonic() + waits, signers: new Map() })
      } else logger.error({ kid: record.kid }, 'a token key in the store is not sealed by us; it is not used')
    }
    this.#held = held
    this.#newest = records.at(-1) ?? null
    this.#loadedAt = clock.monotonic()
    this.#document = Object.freeze(keySetDocument(held.map(({ pair }) => pair)))
    this.local.replace(this.#document)
  }

  /** The newest key that has been published for long enough; the oldest when none has, such as the first there ever was. */
  #current(): Held | undefined {
    const { clock, isGivenUp = () => false } = this.#options
    const now = clock.monotonic()
    const held = this.#held.filter(({ record }) => !isGivenUp(record.kid))
    return held.findLast(({ readyAt }) => readyAt <= now) ?? held[0]
  }

  async #drop(): Promise<void> {
    const { store, clock, logger } = this.#options
    const now = clock.monotonic()
    const current = this.#current()
    const due: string[] = []
    for (const { record } of current ? this.#held.slice(0, this.#held.indexOf(current)) : []) {
      const since = this.#supersededAt.get(record.kid) ?? now
      this.#supersededAt.set(record.kid, since)
      // Another instance may have seen the new key later than we did, or not have read the store since: it signs
      // with the old one for up to `publishMs` more.
      if (now - since >= this.#times.retireMs + this.#times.publishMs) due.push(record.kid)
    }
    if (due.length === 0) return
    await store.dropTokenKeys(due)
    for (const kid of due) this.#supersededAt.delete(kid)
    logger.info({ kids: due.join(' ') }, 'token keys dropped')
    await this.#load()
  }
}

function stale(): CountersignError<'IDENTITY_TOKEN_KEYS_STALE'> {
  return new CountersignError({
    code: 'IDENTITY_TOKEN_KEYS_STALE',
    retriable: true,
    publicMessage: 'no key may sign tokens now; try again',
  })
}
