/** An authenticator in software, which makes what a security key or phone makes, and on demand what none should; for tests. */
import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto'
import type { AuthenticationResponseJSON, RegistrationResponseJSON } from '@simplewebauthn/server'
import { isoCBOR } from '@simplewebauthn/server/helpers'

/** What is to be wrong, or merely otherwise, with a response. */
export interface Twist {
  readonly origin?: string
  readonly rpId?: string
  readonly challenge?: string
  readonly type?: string
  readonly crossOrigin?: boolean
  readonly present?: boolean
  readonly verified?: boolean
  readonly counter?: number
  /** A key that goes to its person's other machines. */
  readonly copied?: boolean
  readonly userHandle?: string | null
  /** Signs with another key. */
  readonly forged?: boolean
  readonly format?: string
  readonly statement?: ReadonlyMap<string, unknown>
  /** COSE algorithm the key says it is for. */
  readonly algorithm?: number
}

type CborValue = Parameters<typeof isoCBOR.encode>[0]

const PRESENT = 0x01
const VERIFIED = 0x04
const BACKUP_ELIGIBLE = 0x08
const ATTESTED = 0x40

export class SoftwareAuthenticator {
  readonly credentialId: string = randomBytes(32).toString('base64url')
  counter = 0
  readonly #privateKey: KeyObject
  readonly #point: { readonly x: Uint8Array<ArrayBuffer>; readonly y: Uint8Array<ArrayBuffer> }
  readonly #origin: string
  readonly #rpId: string
  #userHandle: string | null = null

  constructor({ origin, rpId }: { origin: string; rpId: string }) {
    this.#origin = origin
    this.#rpId = rpId
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    this.#privateKey = privateKey
    const { x = '', y = '' } = publicKey.export({ format: 'jwk' })
    this.#point = { x: bytesOf(x), y: bytesOf(y) }
  }

  /** Answers `navigator.credentials.create`. */
  create(asked: { challenge: string; user: { id: string } }, twist: Twist = {}): RegistrationResponseJSON {
    this.#userHandle = asked.user.id
    const id = bytesOf(this.credentialId)
    const length = Buffer.alloc(2)
    length.writeUInt16BE(id.length)
    const attested = Buffer.concat([Buffer.alloc(16), length, id, this.#publicKey(twist)])
    const data = Buffer.concat([this.#data(ATTESTED, twist), attested])
    const { format = 'none', statement = new Map() } = twist
    const attestationObject = isoCBOR.encode(
      new Map<string, CborValue>([
        ['fmt', format],
        ['attStmt', statement as CborValue],
        ['authData', new Uint8Array(data)],
      ]),
    )
    return {
      id: this.credentialId,
      rawId: this.credentialId,
      type: 'public-key',
      response: {
        clientDataJSON: this.#clientData('webauthn.create', asked.challenge, twist).toString('base64url'),
        attestationObject: Buffer.from(attestationObject).toString('base64url'),
        transports: ['usb'],
      },
      clientExtensionResults: {},
    }
  }

  /** Answers `navigator.credentials.get`; the counter rises by one unless the twist says where it stands. */
  get(asked: { challenge: string }, twist: Twist = {}): AuthenticationResponseJSON {
    this.counter = twist.counter ?? this.counter + 1
    const client = this.#clientData('webauthn.get', asked.challenge, twist)
    const data = this.#data(0, twist)
    const signed = Buffer.concat([data, createHash('sha256').update(client).digest()])
    const key = twist.forged ? generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey : this.#privateKey
    const userHandle = twist.userHandle === undefined ? this.#userHandle : twist.userHandle
    return {
      id: this.credentialId,
      rawId: this.credentialId,
      type: 'public-key',
      response: {
        clientDataJSON: client.toString('base64url'),
        authenticatorData: data.toString('base64url'),
        signature: sign('sha256', signed, key).toString('base64url'),
        ...(userHandle !== null && { userHandle }),
      },
      clientExtensionResults: {},
    }
  }

  // ES256 on P-256 (RFC 9053 §7.1.1).
  #publicKey({ algorithm = -7 }: Twist): Uint8Array {
    const { x, y } = this.#point
    return isoCBOR.encode(
      new Map<number, CborValue>([
        [1, 2],
        [3, algorithm],
        [-1, 1],
        [-2, x],
        [-3, y],
      ]),
    )
  }

  #clientData(type: string, challenge: string, twist: Twist): Buffer {
    const { origin = this.#origin, crossOrigin = false } = twist
    return Buffer.from(
      JSON.stringify({ type: twist.type ?? type, challenge: twist.challenge ?? challenge, origin, crossOrigin }),
    )
  }

  #data(more: number, { rpId = this.#rpId, present = true, verified = true, copied = false }: Twist): Buffer {
    const flags = more | (present ? PRESENT : 0) | (verified ? VERIFIED : 0) | (copied ? BACKUP_ELIGIBLE : 0)
    const counter = Buffer.alloc(4)
    counter.writeUInt32BE(this.counter)
    return Buffer.concat([createHash('sha256').update(rpId).digest(), Buffer.from([flags]), counter])
  }
}

function bytesOf(text: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Buffer.from(text, 'base64url'))
}
