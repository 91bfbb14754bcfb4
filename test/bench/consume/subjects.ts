/** The same kafkajs consumer with each way of knowing whether a job may run. */
import { createPublicKey } from 'node:crypto'
import { type Codec, unframe } from '@countersign/schemas'
import { Redis } from 'ioredis'
import { jwtVerify } from 'jose'
import type { KafkaMessage } from 'kafkajs'
import { Pool } from 'undici'
import { AUDIENCE, type Export, SCOPE, type Setup, type Subject } from './contract.ts'
import { enforced } from './enforced.ts'
import { floorNames, permits, type TrustedIdentity } from './messages.ts'

/** Asked for a whole batch, or for one message at a time as an ordinary loop does. */
type Check = (message: KafkaMessage) => boolean | Promise<boolean>

export async function subject(setup: Setup, codec: Codec<unknown>): Promise<Subject> {
  switch (setup.subject) {
    case 'enforced':
      return enforced(setup)
    case 'bare':
      return plain(codec, () => true)
    case 'redis':
      return redis(setup, codec)
    case 'redis-mget':
      return redisMget(setup, codec)
    case 'introspection':
    case 'introspection-in-flight':
      return introspection(setup, codec)
    default:
      return jwt(setup, codec)
  }
}

/** The loop of kafkajs' documentation. */
function plain(codec: Codec<unknown>, check: Check, stop: () => Promise<void> = async () => {}): Subject {
  return batched(codec, async () => check, stop)
}

/** The same, where something is asked for the batch first. */
function batched(
  codec: Codec<unknown>,
  ask: (messages: readonly KafkaMessage[]) => Promise<Check>,
  stop: () => Promise<void>,
): Subject {
  return {
    eachBatch: (_, handle) => async (payload) => {
      const { messages } = payload.batch
      const check = await ask(messages)
      for (const message of messages) {
        const may = check(message)
        if (typeof may === 'boolean' ? may : await may) {
          const done = handle(codec.decode(unframe(message.value)?.body ?? Buffer.alloc(0)) as Export, message.offset)
          if (done) await done
        }
        payload.resolveOffset(message.offset)
        await payload.heartbeat()
      }
    },
    stop,
  }
}

function identityOf({ headers }: KafkaMessage): TrustedIdentity {
  return JSON.parse(String(headers?.identity)) as TrustedIdentity
}

/** One pipeline per message. */
function redis({ redisUrl }: Setup, codec: Codec<unknown>): Subject {
  const client = new Redis(redisUrl)
  const check = async (message: KafkaMessage): Promise<boolean> => {
    const identity = identityOf(message)
    const pipeline = client.pipeline()
    for (const name of floorNames(identity)) pipeline.get(name)
    const floors = (await pipeline.exec()) ?? []
    return permits(
      identity,
      floors.map(([error, floor]) => {
        if (error) throw error
        return floor as string | null
      }),
    )
  }
  return plain(codec, check, async () => client.disconnect())
}

/** One MGET per batch. */
function redisMget({ redisUrl }: Setup, codec: Codec<unknown>): Subject {
  const client = new Redis(redisUrl)
  const ask = async (messages: readonly KafkaMessage[]): Promise<Check> => {
    const identities = messages.map(identityOf)
    const names = identities.map(floorNames)
    const floors = await client.mget(names.flat())
    let at = 0
    const allowed = new Map<KafkaMessage, boolean>()
    for (const [i, message] of messages.entries()) {
      const count = (names[i] as string[]).length
      allowed.set(message, permits(identities[i] as TrustedIdentity, floors.slice(at, at + count)))
      at += count
    }
    return (message) => allowed.get(message) === true
  }
  return batched(codec, ask, async () => client.disconnect())
}

/** RFC 7662, one request per message: in turn, or those of a batch all in flight. */
function introspection({ introspectionUrl, subject: name }: Setup, codec: Codec<unknown>): Subject {
  const { origin, pathname: path } = new URL(introspectionUrl)
  const pool = new Pool(origin, { connections: 16 })
  const headers = {
    'content-type': 'application/x-www-form-urlencoded',
    authorization: `Basic ${btoa('exporter:secret')}`,
  }
  const check = async ({ headers: sent }: KafkaMessage): Promise<boolean> => {
    const { body } = await pool.request({ method: 'POST', path, headers, body: `token=${sent?.token}` })
    const { active, scope, aud } = (await body.json()) as { active: boolean; scope?: string; aud?: string }
    return active && aud === AUDIENCE && (scope ?? '').split(' ').includes(SCOPE)
  }
  const stop = (): Promise<void> => pool.destroy()
  if (name === 'introspection') return plain(codec, check, stop)
  const ask = async (messages: readonly KafkaMessage[]): Promise<Check> => {
    const answers = await Promise.all(messages.map(check))
    const allowed = new Map(messages.map((message, i) => [message, answers[i] as boolean]))
    return (message) => allowed.get(message) === true
  }
  return batched(codec, ask, stop)
}

/** Each message with its own token; ended sessions in a set that the process shares. */
function jwt({ subject: name, issuers, ended }: Setup, codec: Codec<unknown>): Subject {
  const alg = name === 'jwt-rs256' ? 'RS256' : 'EdDSA'
  const key = createPublicKey(issuers[alg])
  const gone = new Set(ended)
  const rules = { issuer: 'https://id.example', audience: AUDIENCE, algorithms: [alg], typ: 'at+jwt' }
  return plain(codec, async ({ headers }) => {
    const { payload } = await jwtVerify(String(headers?.token), key, rules)
    const { sid, scope } = payload as { sid: string; scope: string }
    return !gone.has(sid) && scope.split(' ').includes(SCOPE)
  })
}
