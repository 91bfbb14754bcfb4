/** What is measured: an authorization server that some process runs, with clients and families made beforehand. */

/** How access tokens are written. */
export type Format = 'jwt' | 'opaque'

export const FORMATS: readonly Format[] = ['jwt', 'opaque']

/** A family of refresh tokens, where it stands. */
export interface Family {
  readonly sub: string
  readonly refreshToken: string
}

export interface Endpoint {
  readonly url: string
  /** Of the client that asks: `client_secret_basic`. */
  readonly authorization: string
}

export interface Subject {
  readonly name: string
  /** Token endpoint as the client whose access tokens have this format. */
  token(format: Format): Endpoint
  /** Introspection endpoint as the resource server that the access tokens are for. */
  readonly introspection: Endpoint
  /** Begins families of different people. */
  families(format: Format, count: number): Promise<readonly Family[]>
  stop(): Promise<void>
}

export const RESOURCE = 'https://resource.example'
export const SCOPE = 'reports:read'
