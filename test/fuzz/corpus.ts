/** Valid envelopes of every shape with the one context in which each opens, and where their fields are. */
import {
  type BoundEvent,
  bindEvent,
  derive,
  type OpenContext,
  type OpenedEnvelope,
  Opener,
  seal,
} from '@countersign/envelope'
import {
  NOW,
  type TestAuthority,
  testAuthority,
  testClaims,
  testContext,
  testEvent,
  testId,
} from '@countersign/envelope/testing'
import type { Field } from './mutate.ts'

/** A context that has the event itself, not its sums. */
export type EventContext = OpenContext & BoundEvent

export interface Specimen {
  readonly header: Buffer
  readonly context: EventContext
  readonly fields: readonly Field[]
}

export const authority: TestAuthority = testAuthority()
const { keys, ring } = authority

/** Trees of one to nine, values of several sizes, chains of one to three derivations. */
export function corpus(): readonly Specimen[] {
  const out: Specimen[] = []
  let index = 0
  for (const size of [1, 2, 3, 5, 9]) {
    const first = index
    const inputs = Array.from({ length: size }, () => testClaims({ txn: `txn-${index}`, event: testEvent(index++) }))
    for (const [i, header] of seal(inputs, keys.envelope).entries()) {
      out.push({ header, context: testContext(ring, {}, first + i), fields: fieldsOf(header) })
    }
  }
  const bare = testClaims({ event: bindEvent({ topic: 'invoices.export', key: null, id: testId(900), value: null }) })
  add(out, seal([bare], keys.envelope)[0] as Buffer, testContext(ring, { key: null, value: null }))
  let parent = out[3] as Specimen
  for (let depth = 1; depth <= 3; depth++) {
    const value = Buffer.from(`derived ${depth}`)
    const context = testContext(ring, { topic: 'emails.send', audience: 'mail', key: null, value })
    const claims = derive(
      { header: parent.header, envelope: opened(parent) },
      {
        aud: 'mail',
        scope: ['invoices:read'],
        exp: NOW + 60_000,
        iat: NOW + depth,
        reqWl: 'worker',
        actor: { sub: `svc_${depth}`, principal: 'service' },
        event: bindEvent({ topic: 'emails.send', key: null, id: testId(700 + depth), value }),
      },
    )
    const [header] = seal([claims, claims, claims], keys.derive) as [Buffer]
    add(out, header, context)
    parent = out.at(-1) as Specimen
  }
  return out
}

function add(out: Specimen[], header: Buffer, context: EventContext): void {
  out.push({ header, context, fields: fieldsOf(header) })
}

function opened({ header, context }: Specimen): OpenedEnvelope {
  const result = new Opener().open(header, context)
  if (!result.ok) throw new Error(`a specimen does not open: ${result.code}`)
  return result.envelope
}

/** The parts of ENVELOPE.md §2. */
function fieldsOf(header: Buffer): Field[] {
  const claimsEnd = 24 + header.readUInt16BE(20)
  const keyEnd = claimsEnd + header.readUInt8(23)
  const signature = header.length - 64
  const ends = {
    magic: 3,
    version: 4,
    fingerprint: 12,
    size: 16,
    index: 20,
    claimsLength: 22,
    pathLength: 23,
    keyLength: 24,
  }
  let from = 0
  const all = Object.entries({ ...ends, claims: claimsEnd, key: keyEnd, path: signature, signature: header.length })
  return all.map(([name, to]) => {
    const field = { name, from, to }
    from = to
    return field
  })
}
