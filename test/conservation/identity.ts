/** Identity's side of the runs, of the code that ships: a store, a notary that can fall silent, and revocations. */
import { ed25519Key, generateEd25519, type SigningKey, signRecord } from '@countersign/envelope'
import type { EventLog } from '@countersign/event-log'
import {
  Authority,
  bundleSource,
  Delivery,
  type EndingPath,
  type EndingRun,
  logClock,
  Notary,
  ownView,
  repairer,
} from '@countersign/identity'
import { journeyLog } from '@countersign/journey'
import { type Clock, systemClock, systemRandom } from '@countersign/kernel'
import { Replica } from '@countersign/replica'
import { type KeyGrant, type KeyUse, signalCodec, signalId } from '@countersign/schemas'
import type { SessionStore } from '@countersign/session-store'
import { openSqliteStore } from '@countersign/session-store/sqlite'
import { createMetrics, silentLogger } from '@countersign/telemetry'
import type { RevocationFact } from '../checker/history.ts'
import { CHECKPOINT_MS, EPSILON_MS } from './topics.ts'

const HOUR = 3_600_000

/** What a revocation is asked with. */
export type Ask = Pick<EndingRun, 'facts'> & { readonly path: EndingPath }

export class Identity {
  readonly replica: Replica
  /** Seals envelopes, granted by the bundle. */
  readonly sealing: SigningKey
  /** Of nobody: in no bundle. */
  readonly foreign: SigningKey
  readonly rootPublic: Buffer
  /** What versions are made by: it may lag the wall, so sessions have to be made by the same. */
  readonly clock: Clock
  readonly #store: SessionStore
  readonly #notary: Notary
  readonly #delivery: Delivery
  readonly #authority: Authority
  #silence: Promise<void> = Promise.resolve()

  private constructor(log: EventLog, store: SessionStore, keys: Keys) {
    const shared = { log, store, random: systemRandom, logger: silentLogger, epsilonMs: EPSILON_MS }
    this.#store = store
    this.rootPublic = keys.rootPublic
    this.sealing = keys.key('api')
    this.foreign = ed25519Key('foreign', generateEd25519(systemRandom).privateKeyPem)
    const follows = { clock: systemClock, rootKeys: [keys.rootPublic] }
    this.replica = new Replica({ ...shared, ...follows, consumer: 'identity', history: 'verify' })
    const clock = logClock(systemClock, this.replica, EPSILON_MS)
    this.clock = clock
    const view = ownView(this.replica, clock)
    const told = { ...shared, clock, metrics: createMetrics(), journey: journeyLog(silentLogger) }
    this.#delivery = new Delivery({ ...told, keyInForce: () => view.keyInForce })
    const repair = repairer({ ...told, view, delivery: this.#delivery })
    this.#authority = new Authority({ ...told, view, delivery: this.#delivery, repair, ackDeadlineMs: 3_000 })
    const terms = { windowMs: HOUR, maxStalenessMs: 1_250, checkpointIntervalMs: CHECKPOINT_MS }
    const quiet = async (topic: string, records: Parameters<EventLog['append']>[1]) => {
      await this.#silence
      return log.append(topic, records)
    }
    this.#notary = new Notary({
      ...shared,
      ...follows,
      log: { ...log, append: quiet },
      bundles: bundleSource({ store, rootKey: keys.root, grants: () => keys.grants, terms }),
      checkpointKey: keys.key('notary'),
      notaryId: 'notary',
      intervalMs: CHECKPOINT_MS,
    })
  }

  /** Resolves when the view of the new log is proven. */
  static async start(log: EventLog): Promise<Identity> {
    const keys = new Keys()
    const store = await openSqliteStore({
      path: ':memory:',
      run: 'inline',
      seal: (signal) => {
        const body = signalCodec.encode(signal)
        return { body, signature: signRecord('Signal', body, keys.key('signal')) }
      },
    })
    const identity = new Identity(log, store, keys)
    await identity.#notary.start()
    await identity.replica.start()
    identity.#delivery.start()
    if (!(await identity.replica.waitUntil(() => identity.replica.freshness().proven, 30_000)))
      throw new Error('no checkpoint proved the signals log within 30 s')
    return identity
  }

  /** The notary writes nothing for as long; views grow old. */
  async fallSilent(ms: number): Promise<void> {
    this.#silence = systemClock.sleep(ms)
    await this.#silence
  }

  /** Ends authority, as an operator would ask for it. @returns what they were told. */
  async revoke({ path, facts }: Ask): Promise<RevocationFact> {
    const id = systemRandom.bytes(16)
    const askedAt = systemClock.now()
    const answer = await this.#authority.end(path, {
      id,
      request: id,
      initiator: 'operator:conservation',
      tenant: null,
      change: { kind: 'none' },
      facts,
    })
    const answeredAt = systemClock.now()
    const count = (await this.#store.revocation(id))?.seqs.length ?? 0
    const ids = Array.from({ length: count }, (_, i) => signalId(id, i).toString('hex'))
    const offset = answer.state === 'acknowledged' ? (answer.position?.offset ?? null) : null
    return { ids, kind: path, state: answer.state, offset, askedAt, answeredAt }
  }

  async stop(): Promise<void> {
    await Promise.all([this.#notary.stop(), this.#delivery.stop(), this.replica.stop()])
    await this.#store.close()
  }
}

class Keys {
  readonly root: SigningKey
  readonly rootPublic: Buffer
  readonly grants: KeyGrant[] = []
  readonly #keys = new Map<string, SigningKey>()

  constructor() {
    const { privateKeyPem, publicKey } = generateEd25519(systemRandom)
    this.root = ed25519Key('root', privateKeyPem)
    this.rootPublic = publicKey
    this.#grant('signal', 'signal')
    this.#grant('notary', 'checkpoint')
    this.#grant('api', 'envelope')
  }

  key(keyId: string): SigningKey {
    return this.#keys.get(keyId) as SigningKey
  }

  #grant(keyId: string, use: KeyUse): void {
    const { privateKeyPem, publicKey } = generateEd25519(systemRandom)
    this.#keys.set(keyId, ed25519Key(keyId, privateKeyPem))
    const always = { tenants: ['*'], topics: ['*'], not_before: 0, not_after: systemClock.now() + 24 * HOUR }
    this.grants.push({ key_id: keyId, public_key: publicKey, use, ...always })
  }
}
