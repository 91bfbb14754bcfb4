/** OAuth clients. */
import type { NewClient, Refused } from '../port.ts'
import type { Client } from '../records.ts'
import { order, sorted } from './accounts.ts'
import { CLIENT } from './kinds.ts'
import type { Kept } from './layout.ts'
import { shown } from './shown.ts'
import type { Step, Tx } from './tx.ts'

export function* createClient(tx: Tx, asked: NewClient, now: number): Step<Client | Refused> {
  if ((yield* tx.get(CLIENT, asked.id)) !== null) return { refused: 'client_exists' }
  tx.put(CLIENT, { ...written(asked), state: 'active', revision: 1, createdAt: now })
  return (yield* client(tx, asked.id)) as Client
}

export function* updateClient(tx: Tx, asked: NewClient, revision: number): Step<Client | Refused> {
  const found = yield* tx.get(CLIENT, asked.id)
  if (found === null) return { refused: 'client_unknown' }
  if (found.revision !== revision) return { refused: 'client_changed' }
  changeClient(tx, found, written(asked))
  return (yield* client(tx, asked.id)) as Client
}

export function* restoreClient(tx: Tx, id: string): Step<Client | Refused> {
  const found = yield* tx.get(CLIENT, id)
  if (found === null) return { refused: 'client_unknown' }
  if (found.state === 'disabled') changeClient(tx, found, { state: 'active' })
  return (yield* client(tx, id)) as Client
}

export function* client(tx: Tx, id: string): Step<Client | null> {
  return shown.client(yield* tx.get(CLIENT, id))
}

export function* clients(tx: Tx): Step<Client[]> {
  const all = yield* tx.all(CLIENT, yield* tx.range('clients'))
  return all.map((found) => shown.client(found)).sort((a, b) => order(a.id, b.id))
}

export function changeClient(tx: Tx, found: Kept<Client>, change: Partial<Client>): void {
  tx.put(CLIENT, { ...found, ...change, revision: found.revision + 1 })
}

/** What an administrator may say of a client, and no more. */
export function written(asked: NewClient): NewClient {
  return { ...shown.newClient(asked), scopes: sorted(asked.scopes) }
}
