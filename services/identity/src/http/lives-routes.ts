/** How long what identity gives out lives: for whoever says what a stolen one is good for. Nothing of it is secret. */
import type { CredentialKind } from '@countersign/schemas'
import type { FastifyInstance } from 'fastify'
import type { SessionKinds } from '../sessions/kinds.ts'

export interface LivesRoutesOptions {
  readonly kinds: SessionKinds
  readonly tokenLives: {
    readonly accessTokenMs: number
    readonly opaqueTokenMs: number
  }
}

interface Life {
  /** As what it is shown at a boundary. */
  readonly credential: CredentialKind
  readonly name: string
  /** Without use, milliseconds; null where use does not matter. */
  readonly idleMs: number | null
  /** Whatever is done, milliseconds. */
  readonly absoluteMs: number
}

export async function livesRoutes(app: FastifyInstance, { kinds, tokenLives }: LivesRoutesOptions): Promise<void> {
  const lives = livesOf(kinds, tokenLives)
  app.get('/v1/lives', async () => ({ lives }))
}

function livesOf(kinds: SessionKinds, { accessTokenMs, opaqueTokenMs }: LivesRoutesOptions['tokenLives']): Life[] {
  const session = (credential: CredentialKind, kind: keyof SessionKinds, name: string): Life => {
    const { idleMs, absoluteMs } = kinds[kind]
    return { credential, name, idleMs, absoluteMs }
  }
  const token = (credential: CredentialKind, absoluteMs: number): Life[] => [
    { credential, name: 'access token', idleMs: null, absoluteMs },
    session(credential, 'family', 'its refresh tokens'),
    session(credential, 'device', 'refresh tokens of a device'),
  ]
  return [
    session('session_cookie', 'browser', 'browser session'),
    session('session_cookie', 'admin', "administrator's session"),
    ...token('jwt', accessTokenMs),
    ...token('opaque_token', opaqueTokenMs),
    session('opaque_token', 'api', 'API session'),
  ]
}
