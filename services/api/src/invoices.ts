/**
 * The invoices of the example. Each tenant has those numbered 1001 to 3000, named `<tenant>-<number>`; a
 * real service asks its database. What matters is the question: never an id alone, always with the tenant.
 */

const FIRST = 1001
const LAST = 3000

/** @returns whether the tenant has this invoice; another tenant's is no different from none. */
export function hasInvoice(tenant: string, id: string): boolean {
  if (!id.startsWith(`${tenant}-`)) return false
  const number = id.slice(tenant.length + 1)
  return /^[1-9]\d{3}$/.test(number) && Number(number) >= FIRST && Number(number) <= LAST
}

/** @returns ids of the tenant's first `count` invoices, at most 2000. */
export function invoicesOf(tenant: string, count: number): string[] {
  return Array.from({ length: Math.min(count, LAST - FIRST + 1) }, (_, i) => `${tenant}-${FIRST + i}`)
}
