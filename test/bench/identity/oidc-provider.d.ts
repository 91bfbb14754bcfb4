/** The part of oidc-provider that tests and benches use; the package has no types. */
declare module 'oidc-provider' {
  import type { IncomingMessage, ServerResponse } from 'node:http'

  interface Saved {
    save(lifeS?: number): Promise<string>
  }

  interface Grant extends Saved {
    addResourceScope(resource: string, scope: string): void
  }

  export default class Provider {
    constructor(issuer: string, configuration: object)
    on(event: 'session.destroyed', listener: (session: { readonly uid: string }) => void): this
    callback(): (request: IncomingMessage, response: ServerResponse) => void
    readonly Client: { find(id: string): Promise<object | undefined> }
    readonly Grant: new (
      members: object,
    ) => Grant
    readonly RefreshToken: new (
      members: object,
    ) => Saved
  }
}
