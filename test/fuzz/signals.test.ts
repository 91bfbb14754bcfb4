import { type SignedRecordName, signRecord, verifyRecord } from '@countersign/envelope'
import { NOW, testId } from '@countersign/envelope/testing'
import { type Signal, signalCodec } from '@countersign/schemas'
import { expect, test } from 'vitest'
import { campaign } from './campaign.ts'
import { authority } from './corpus.ts'
import { blind, type Field, structured } from './mutate.ts'

const { keys, ring } = authority

interface SignedSignal {
  readonly body: Buffer
  readonly header: Buffer
}

const signals: SignedSignal[] = (
  [
    { target: { kind: 'session', tenant: '', id: 'ses_1' }, effect: 'reason:logout', fallback: 'logout' },
    {
      target: { kind: 'affiliation', tenant: 'acme', id: 'usr_1' },
      effect: 'scope:invoices:export',
      fallback: 'role_change',
    },
    { target: { kind: 'tenant', tenant: 'acme', id: '' }, effect: 'reason:compromise', fallback: 'compromise' },
    { target: { kind: 'subject', tenant: '', id: 'usr_é' }, effect: 'reason:suspension', fallback: 'suspension' },
  ] satisfies Pick<Signal, 'target' | 'effect' | 'fallback'>[]
).map((part, i) => {
  const body = signalCodec.encode({
    ...part,
    id: testId(i),
    seq: i + 1,
    floor: NOW + i,
    cause: 'path',
    initiator: 'usr_1',
  })
  return { body, header: signRecord('Signal', body, keys.signal) }
})
const FIELDS: readonly Field[] = [
  { name: 'version', from: 0, to: 1 },
  { name: 'length', from: 1, to: 2 },
  { name: 'key', from: 2, to: 7 },
  { name: 'signature', from: 7, to: 71 },
]

test('40,000 mutated signals: none accepted, no crash, memory bounded', () => {
  const tally = campaign('signals', 40_000, (random) => {
    const good = signals[random.below(signals.length)] as SignedSignal
    const other = signals[random.below(signals.length)] as SignedSignal
    let { body, header } = good
    let name: SignedRecordName = 'Signal'
    switch (random.below(8)) {
      case 0:
        name = random.below(2) === 0 ? 'Checkpoint' : 'EpochClaim'
        break
      case 1:
        header = other.header
        break
      case 2:
      case 3:
        body = blind(body, random)
        break
      case 4:
        header = blind(header, random)
        break
      default:
        header = structured(header, FIELDS, other.header, FIELDS, random)
    }
    if (name === 'Signal' && body.equals(good.body) && header.equals(good.header)) return null
    return {
      input: Buffer.concat([header, body]),
      run() {
        const result = verifyRecord(name, body, header, ring, 'signal', NOW)
        return result.ok ? 'accepted' : result.code
      },
    }
  })
  expect(tally.crashes).toEqual([])
  expect(tally.accepted).toEqual([])
  expect(tally.grownMb).toBeLessThan(64)
}, 240_000)

test('CVE-2023-39410: 20,000 damaged bodies are refused by the codec or are another canonical signal', () => {
  const tally = campaign('signal bodies', 20_000, (random) => {
    const body = blind((signals[random.below(signals.length)] as SignedSignal).body, random)
    return {
      input: body,
      run() {
        let signal: Signal
        try {
          signal = signalCodec.decode(body)
        } catch (error) {
          if (error instanceof RangeError) return 'refused'
          throw error
        }
        return signalCodec.encode(signal).equals(body) ? 'canonical' : 'accepted'
      },
    }
  })
  expect(tally.crashes).toEqual([])
  expect(tally.accepted).toEqual([])
  expect(tally.grownMb).toBeLessThan(64)
}, 240_000)
