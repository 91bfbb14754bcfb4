import { headerOf, Opener } from '@countersign/envelope'
import { claimsBody, sealBodies } from '@countersign/envelope/testing'
import type { SeededRandom } from '@countersign/kernel/testing'
import { envelopeClaimsV1Codec } from '@countersign/schemas'
import { expect, test } from 'vitest'
import { type Attempt, campaign, type Tally } from './campaign.ts'
import { authority, corpus, type EventContext, type Specimen } from './corpus.ts'
import { blind, structured } from './mutate.ts'

const specimens = corpus()
const opener = new Opener()
const NAME = 'countersign-envelope'

function nothingGotThrough(tally: Tally): void {
  expect(tally.crashes).toEqual([])
  expect(tally.accepted).toEqual([])
  expect(tally.grownMb).toBeLessThan(64)
}

test('all specimens open, so the campaign starts from good ones', () => {
  for (const { header, context } of specimens) expect(opener.open(header, context)).toMatchObject({ ok: true })
})

test('140,000 mutated envelopes: none accepted, no crash, memory bounded', () => {
  let turn = 0
  const tally = campaign('envelopes', 140_000, (random) => {
    const { header, context } = pick(random)
    const other = pick(random)
    const bytes = mutated(header, other, random)
    if (bytes.equals(header)) return null
    const cold = turn++ % 64 === 0
    return {
      input: bytes,
      run() {
        const verdict = judge(opener, bytes, context)
        // What is kept must never change an answer.
        if (cold && judge(new Opener(), bytes, context) !== verdict) throw new Error('warm and cold disagree')
        return verdict
      },
    }
  })
  nothingGotThrough(tally)
  // The mutations reach past the lengths and past the signature's shape.
  for (const code of ['truncated', 'malformed', 'version_unknown', 'key_unknown', 'signature_invalid', 'oversize']) {
    expect([code, tally.verdicts.get(`envelope_${code}`) ?? 0]).not.toEqual([code, 0])
  }
}, 240_000)

test('CVE-2026-35554: 20,000 good envelopes on events that are not theirs, or with odd headers: none accepted', () => {
  nothingGotThrough(campaign('events', 20_000, misplaced))
}, 240_000)

test('10,000 damaged claims under a good signature: what opens is exactly what the codec accepts', () => {
  const tally = campaign('signed claims', 10_000, (random) => {
    const { header, context } = specimens[random.below(20)] as Specimen
    const body = blind(header.subarray(24, 24 + header.readUInt16BE(20)), random)
    return {
      input: body,
      run() {
        const sealed = sealBodies([body], authority.keys.envelope)[0] as Buffer
        const result = new Opener().open(sealed, context)
        const canonical = decodes(body)
        if (!result.ok) return canonical ? result.code : 'not canonical'
        if (!canonical) return 'accepted'
        return claimsBody(result.envelope.claims).equals(body) ? 'canonical' : 'accepted'
      },
    }
  })
  nothingGotThrough(tally)
}, 240_000)

function pick(random: SeededRandom): Specimen {
  return specimens[random.below(specimens.length)] as Specimen
}

function mutated(header: Buffer, other: Specimen, random: SeededRandom): Buffer {
  const own = specimens.find((specimen) => specimen.header === header) as Specimen
  if (random.below(200) === 0) return Buffer.concat([header, random.bytes(16_384)])
  return random.below(2) === 0
    ? blind(header, random)
    : structured(header, own.fields, other.header, other.fields, random)
}

function judge(by: Opener, bytes: Buffer, context: EventContext): string {
  const found = headerOf([[NAME, bytes]])
  if (!found.ok) return found.code
  const result = by.open(found.bytes, context)
  return result.ok ? 'accepted' : result.code
}

/** A good envelope where it does not belong: one thing about the event, the moment or the headers is off. */
function misplaced(random: SeededRandom): Attempt | null {
  const { header, context } = pick(random)
  const other = pick(random)
  const changes: Partial<EventContext>[] = [
    { topic: random.below(2) === 0 ? `${context.topic}.park.v1` : '__proto__' },
    { key: context.key === null ? Buffer.alloc(0) : null },
    { key: blind(context.key === null ? Buffer.alloc(1) : Buffer.from(context.key), random) },
    { value: context.value === null ? Buffer.alloc(0) : null },
    { value: blind(context.value === null ? Buffer.alloc(1) : Buffer.from(context.value), random) },
    { value: other.context.value },
    { audience: `${context.audience} ` },
    { now: context.now - 1500 - random.below(2 ** 40) },
    { now: context.now + 3_600_000 + random.below(2 ** 40) },
  ]
  const over = changes[random.below(changes.length)] as Partial<EventContext>
  if (Object.entries(over).every(([name, value]) => same(value, context[name as keyof EventContext]))) return null
  if (random.below(4) > 0) return { input: header, run: () => judge(opener, header, { ...context, ...over }) }
  const doubled =
    random.below(2) === 0 ? [[NAME, header] as const, [NAME, header] as const] : { [NAME]: [header, other.header] }
  return {
    input: header,
    run() {
      const found = headerOf(doubled)
      return found.ok ? 'accepted' : found.code
    },
  }
}

function same(a: unknown, b: unknown): boolean {
  return a instanceof Uint8Array && b instanceof Uint8Array ? Buffer.compare(a, b) === 0 : a === b
}

function decodes(body: Buffer): boolean {
  try {
    envelopeClaimsV1Codec.decode(body)
    return true
  } catch {
    return false
  }
}
