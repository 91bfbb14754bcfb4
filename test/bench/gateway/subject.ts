/** What is measured: a way from the load to the same upstream. */

export const AUDIENCE = 'billing'
export const SCOPE = 'invoices:read'
/** What the upstream answers, byte for byte. */
export const BODY: string = JSON.stringify({
  invoices: Array.from({ length: 4 }, (_, i) => ({ id: `acme-${1000 + i}`, amount_cents: 12_345, state: 'open' })),
})

/** How a person's authority is shown. */
export type Credential = 'jwt' | 'opaque' | 'cookie'

export interface Subject {
  readonly name: 'direct' | 'bare' | 'introspecting' | 'gateway'
  readonly url: string
}

/** Endpoint and authentication of whoever introspects. */
export interface IntrospectedBy {
  readonly url: string
  readonly authorization: string
}
