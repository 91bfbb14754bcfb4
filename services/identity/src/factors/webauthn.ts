/**
 * Passkeys as WebAuthn knows them (W3C Web Authentication Level 3 §7): what a browser is asked, and whether its answer
 * holds. Keeps nothing: that a challenge is used once and a counter never goes back is the store's to see to.
 */

import type { Millis } from '@countersign/kernel'
import type { WebAuthnCredential } from '@countersign/session-store'
import {
  type AuthenticationResponseJSON,
  generateAuthenticationOptions,
  generateRegistrationOptions,
  type PublicKeyCredentialCreationOptionsJSON,
  type PublicKeyCredentialRequestOptionsJSON,
  type RegistrationResponseJSON,
  verifyAuthenticationResponse,
  verifyRegistrationResponse,
} from '@simplewebauthn/server'
import { decodeAttestationObject, decodeClientDataJSON, isoBase64URL } from '@simplewebauthn/server/helpers'
import { z } from 'zod'

/** Whom passkeys are made for, and where. */
export interface RelyingParty {
  /** Domain their keys are bound to. */
  readonly id: string
  /** Origins whose pages may use them. */
  readonly origins: readonly string[]
  /** As browsers show it. */
  readonly name: string
}

export type Assertion =
  | {
      readonly ok: true
      /** Signature counter, to be noted. */
      readonly counter: number
      /** True when the authenticator knew its person, by PIN or otherwise: not merely that somebody was there. */
      readonly userVerified: boolean
    }
  /** `counter_behind`: genuine, but counted past already. Its key may be in two places. */
  | { readonly ok: false; readonly why: 'invalid' | 'counter_behind' }

type Named = Pick<WebAuthnCredential, 'id' | 'transports'>

// Ed25519, ES256 and RS256 (IANA COSE Algorithms): what authenticators have.
const ALGORITHMS = [-8, -7, -257]
const LONGEST_CREDENTIAL_ID = 1023
const INVALID = { ok: false, why: 'invalid' } as const

const encoded = z
  .string()
  .min(1)
  .max(16_384)
  .regex(/^[\w-]+$/)
const transport = z.enum(['ble', 'cable', 'hybrid', 'internal', 'nfc', 'smart-card', 'usb'])

/** Response of a browser to enrolment (Level 3 §5.1, RegistrationResponseJSON). What is not read is dropped. */
export const enrolmentResponse: z.ZodType<RegistrationResponseJSON> = z.object({
  id: encoded,
  rawId: encoded,
  type: z.literal('public-key'),
  // A transport that is not known here is one that cannot be asked for again.
  response: z.object({
    clientDataJSON: encoded,
    attestationObject: encoded,
    transports: z.array(transport).max(8).catch([]),
  }),
  clientExtensionResults: z.object({}).catch({}),
})

/** Response of a browser to step-up (AuthenticationResponseJSON). */
export const assertionResponse: z.ZodType<AuthenticationResponseJSON> = z.object({
  id: encoded,
  rawId: encoded,
  type: z.literal('public-key'),
  response: z.object({
    clientDataJSON: encoded,
    authenticatorData: encoded,
    signature: encoded,
    userHandle: encoded.nullish().transform((handle) => handle ?? undefined),
  }),
  clientExtensionResults: z.object({}).catch({}),
}) as z.ZodType<AuthenticationResponseJSON>

export class WebAuthn {
  readonly #party: RelyingParty

  constructor(party: RelyingParty) {
    this.#party = party
  }

  /** What a browser is asked so that a person gets another passkey. */
  enrolment(asked: {
    readonly userHandle: Buffer
    readonly email: string
    readonly challenge: Buffer
    /** Those the person has: no authenticator is taken twice. */
    readonly existing: readonly Named[]
    readonly timeoutMs: Millis
  }): Promise<PublicKeyCredentialCreationOptionsJSON> {
    const { userHandle, email, challenge, existing, timeoutMs } = asked
    return generateRegistrationOptions({
      rpID: this.#party.id,
      rpName: this.#party.name,
      userID: new Uint8Array(userHandle),
      userName: email,
      userDisplayName: email,
      challenge: new Uint8Array(challenge),
      timeout: timeoutMs,
      // Who made the authenticator is nothing we decide by, and tells machines apart.
      attestationType: 'none',
      excludeCredentials: descriptors(existing),
      authenticatorSelection: { residentKey: 'preferred', userVerification: 'preferred' },
      supportedAlgorithmIDs: ALGORITHMS,
    })
  }

  /** What a browser is asked so that a person shows themselves by one of their passkeys. */
  assertion(asked: {
    readonly challenge: Buffer
    readonly existing: readonly Named[]
    /** True when only a verified person will do. */
    readonly verified: boolean
    readonly timeoutMs: Millis
  }): Promise<PublicKeyCredentialRequestOptionsJSON> {
    const { challenge, existing, verified, timeoutMs } = asked
    return generateAuthenticationOptions({
      rpID: this.#party.id,
      challenge: new Uint8Array(challenge),
      timeout: timeoutMs,
      allowCredentials: descriptors(existing),
      userVerification: verified ? 'required' : 'preferred',
    })
  }

  /** Judges an enrolment (§7.1). @returns the new passkey; null for whatever is wrong with the response. */
  async enrolled(response: RegistrationResponseJSON, challenge: Buffer): Promise<WebAuthnCredential | null> {
    const { id, origins } = this.#party
    try {
      if (isFramed(response) || !isUnattested(response)) return null
      const { verified, registrationInfo } = await verifyRegistrationResponse({
        response,
        expectedChallenge: challenge.toString('base64url'),
        expectedOrigin: [...origins],
        expectedRPID: id,
        requireUserVerification: false,
        supportedAlgorithmIDs: ALGORITHMS,
      })
      if (!verified) return null
      const { credential, credentialDeviceType, userVerified } = registrationInfo
      // The id is under no signature but in the authenticator's data: there alone it is told by what made the key.
      const bytes = Buffer.from(credential.id, 'base64url')
      if (credential.id !== response.id || bytes.length > LONGEST_CREDENTIAL_ID) return null
      return {
        id: credential.id,
        publicKey: Buffer.from(credential.publicKey),
        counter: credential.counter,
        transports: response.response.transports ?? [],
        verifiesUser: userVerified,
        backupEligible: credentialDeviceType === 'multiDevice',
      }
    } catch {
      return null
    }
  }

  /** Judges an assertion (§7.2) by a passkey of the person it is asked of. */
  async asserted(
    response: AuthenticationResponseJSON,
    expected: {
      readonly challenge: Buffer
      readonly passkey: WebAuthnCredential
      readonly userHandle: Buffer
      readonly verified: boolean
    },
  ): Promise<Assertion> {
    const { challenge, passkey, userHandle, verified: mustVerify } = expected
    const { id, origins } = this.#party
    const named = response.response.userHandle
    if (response.id !== passkey.id) return INVALID
    if (named !== undefined && named !== userHandle.toString('base64url')) return INVALID
    try {
      if (isFramed(response)) return INVALID
      const { verified, authenticationInfo } = await verifyAuthenticationResponse({
        response,
        expectedChallenge: challenge.toString('base64url'),
        expectedOrigin: [...origins],
        expectedRPID: id,
        requireUserVerification: mustVerify,
        credential: {
          id: passkey.id,
          publicKey: new Uint8Array(passkey.publicKey),
          // Judged below, when it is known whose word it is.
          counter: 0,
        },
      })
      if (!verified) return INVALID
      const { newCounter, credentialDeviceType, userVerified } = authenticationInfo
      // What a key was made as, it stays (§7.2).
      if ((credentialDeviceType === 'multiDevice') !== passkey.backupEligible) return INVALID
      if (newCounter <= passkey.counter && newCounter + passkey.counter > 0) return { ok: false, why: 'counter_behind' }
      return { ok: true, counter: newCounter, userVerified }
    } catch {
      return INVALID
    }
  }
}

function descriptors(
  passkeys: readonly Named[],
): NonNullable<Parameters<typeof generateAuthenticationOptions>[0]['allowCredentials']> {
  return passkeys.map(({ id, transports }) => ({
    id,
    transports: transports.flatMap((text) => transport.safeParse(text).data ?? []),
  }))
}

// Our pages are framed by nobody: an answer made in a frame of another site was not made for us.
function isFramed({ response }: RegistrationResponseJSON | AuthenticationResponseJSON): boolean {
  return decodeClientDataJSON(response.clientDataJSON).crossOrigin === true
}

// None was asked for. To judge one means certificates whoever sends them chose, and fetching the lists they name.
function isUnattested({ response }: RegistrationResponseJSON): boolean {
  const attestation = decodeAttestationObject(isoBase64URL.toBuffer(response.attestationObject))
  const format = attestation.get('fmt')
  return format === 'none' || (format === 'packed' && attestation.get('attStmt').get('x5c') === undefined)
}
