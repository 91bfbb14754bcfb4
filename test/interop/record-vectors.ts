/** Vectors of everything but opening: target keys, sealing step by step, signed records and bundles. */
import { KeyRing, type SignedRecordName, seal, signRecord } from '@countersign/envelope'
import { claimsBody, testClaims } from '@countersign/envelope/testing'
import { targetKey } from '@countersign/revocation'
import {
  type Checkpoint,
  checkpointCodec,
  type EpochClaim,
  envelopeClaimsCodec,
  envelopeClaimsV1Codec,
  epochClaimCodec,
  type KeyUse,
  type Signal,
  signalCodec,
  type TargetKind,
  trustBundleCodec,
} from '@countersign/schemas'
import { bundle, HOUR, keys, NOW, otherRoot, root, signedBundle, vectorKey } from './authority.ts'
import { claimsJson } from './envelope-vectors.ts'

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

export function targetVectors(): object {
  const targets: [TargetKind, string, string][] = [
    ['tenant', 'acme', ''],
    ['subject', '', 'usr_1'],
    ['affiliation', 'acme', 'usr_1'],
    ['affiliation', 'acm', 'eusr_1'],
    ['client', '', 'web'],
    ['device', '', 'dev_1'],
    ['session', '', 'ses_1'],
    ['family', '', 'fam_1'],
    ['token', '', 'tok_1'],
    ['transaction', '', 'txn_1'],
    ['subject', '', 'usr_\u00e9'],
    ['subject', '', 'usr_e\u0301'],
  ]
  const cases = targets.map(([kind, tenant, id]) => ({ kind, tenant, id, key: text(targetKey({ kind, tenant, id })) }))
  return { about: 'ENVELOPE.md §7. Text is hashed as given, without normalisation.', cases }
}

const VERSION_2 = {
  relies_on: [Buffer.alloc(32, 1), Buffer.alloc(32, 2)],
  succession: { count: 2, begun_at: NOW - 1, of: Buffer.alloc(32, 3) },
}

/** Deterministic: Ed25519 signatures are, so a sealer can be compared byte for byte. */
export function sealVectors(): object {
  const trees = [1, 2, 3, 5, 8].map((size) => {
    const claims = Array.from({ length: size }, (_, i) => testClaims({ txn: `txn-${i}` }))
    return { name: `a tree of ${size}`, claims, fingerprint: envelopeClaimsV1Codec.fingerprint }
  })
  const relying = { name: 'claims of version 2', claims: [testClaims(VERSION_2)] }
  const cases = [...trees, { ...relying, fingerprint: envelopeClaimsCodec.fingerprint }].map((tree) => {
    const { name, claims, fingerprint } = tree
    const envelopes = seal(claims, keys.envelope)
    return {
      name,
      key_id: keys.envelope.keyId,
      private_key: text(keys.envelope.seed),
      public_key: text(keys.envelope.publicKey),
      fingerprint: text(fingerprint),
      claims: claims.map(claimsJson),
      bodies: claims.map((c) => text(claimsBody(c))),
      envelopes: envelopes.map(text),
    }
  })
  return { about: 'ENVELOPE.md §2 and §3: claims, their Avro bodies, and the envelopes sealed of them.', cases }
}

const signal: Signal = {
  id: Buffer.from('101112131415161718191a1b1c1d1e1f', 'hex'),
  seq: 12,
  target: { kind: 'session', tenant: '', id: 'ses_1' },
  effect: 'reason:logout',
  fallback: 'logout',
  floor: NOW,
  cause: 'logout',
  initiator: 'usr_1',
}
const claim: EpochClaim = { log_id: 'log-1', epoch: 3, notary: 'notary-1', claimed_at: NOW, predecessor: null }
const checkpoint: Checkpoint = {
  log_id: 'log-1',
  epoch: 3,
  sequence: 900,
  notary: 'notary-1',
  covers: 41,
  as_of: NOW - 1000,
  sent_at: NOW,
  count: 1,
  digest: Buffer.alloc(32, 7),
  horizon: NOW - 12 * HOUR,
  bundle_version: bundle.version,
  bundle_hash: new KeyRing(bundle).hash,
  outbox_seq: 12,
  store_unseen_since: null,
}

export function recordVectors(): object {
  const cases: object[] = []
  const vector = (
    name: string,
    record: SignedRecordName,
    body: Buffer,
    signature: Buffer | null,
    use: KeyUse | 'root',
    expect: object,
    at: number = NOW,
  ): void =>
    void cases.push({ name, record, body: text(body), signature: signature && text(signature), use, at, expect })
  const ok = (key_id: string): object => ({ ok: true, key_id })
  const fault = (code: string): object => ({ ok: false, code })

  const body = signalCodec.encode(signal)
  const signed = signRecord('Signal', body, keys.signal)
  const flipped = (bytes: Buffer, at: number): Buffer => {
    const copy = Buffer.from(bytes)
    copy[at < 0 ? copy.length + at : at]! ^= 1
    return copy
  }
  const epoch = epochClaimCodec.encode(claim)
  const point = checkpointCodec.encode(checkpoint)
  const trust = trustBundleCodec.encode(bundle)
  vector('a signal', 'Signal', body, signed, 'signal', ok('sig-1'))
  vector(
    'a checkpoint',
    'Checkpoint',
    point,
    signRecord('Checkpoint', point, keys.checkpoint),
    'checkpoint',
    ok('chk-1'),
  )
  vector(
    'an epoch claim',
    'EpochClaim',
    epoch,
    signRecord('EpochClaim', epoch, keys.checkpoint),
    'checkpoint',
    ok('chk-1'),
  )
  vector('a trust bundle', 'TrustBundle', trust, signRecord('TrustBundle', trust, root), 'root', ok('root-1'))
  vector('no header', 'Signal', body, null, 'signal', fault('record_unsigned'))
  const malformed = fault('record_signature_malformed')
  vector('an empty header', 'Signal', body, Buffer.alloc(0), 'signal', malformed)
  vector('header version 2', 'Signal', body, Buffer.concat([Buffer.of(2), signed.subarray(1)]), 'signal', malformed)
  vector(
    'a key id of no bytes',
    'Signal',
    body,
    Buffer.concat([Buffer.of(1, 0), signed.subarray(-64)]),
    'signal',
    malformed,
  )
  const lengthy = Buffer.concat([Buffer.of(1, 65), Buffer.alloc(65, 'x'), signed.subarray(-64)])
  vector('a key id of 65 bytes', 'Signal', body, lengthy, 'signal', malformed)
  vector('a header cut short', 'Signal', body, signed.subarray(0, -1), 'signal', malformed)
  vector('a header with a rest', 'Signal', body, Buffer.concat([signed, Buffer.of(0)]), 'signal', malformed)
  const invalid = fault('record_signature_invalid')
  vector('a flipped bit of the signature', 'Signal', body, flipped(signed, -1), 'signal', invalid)
  vector('a flipped bit of the body', 'Signal', flipped(body, -1), signed, 'signal', invalid)
  vector('signed as another record', 'Signal', body, signRecord('EpochClaim', body, keys.signal), 'signal', invalid)
  vector(
    'same id, other key',
    'Signal',
    body,
    signRecord('Signal', body, vectorKey('stranger', 'sig-1')),
    'signal',
    invalid,
  )
  vector(
    'a root that is not pinned',
    'TrustBundle',
    trust,
    signRecord('TrustBundle', trust, otherRoot),
    'root',
    invalid,
  )
  vector(
    'an unknown key',
    'Signal',
    body,
    signRecord('Signal', body, vectorKey('sig-2')),
    'signal',
    fault('record_key_unknown'),
  )
  vector(
    'a key of another use',
    'Signal',
    body,
    signRecord('Signal', body, keys.envelope),
    'signal',
    fault('record_key_use'),
  )
  vector(
    'a key not yet valid',
    'Signal',
    body,
    signed,
    'signal',
    fault('record_key_not_yet_valid'),
    NOW - 24 * HOUR - 1,
  )
  vector('a key that has ended', 'Signal', body, signed, 'signal', fault('record_key_retired'), NOW + 24 * HOUR)
  return {
    about: 'ENVELOPE.md §8. `body` is without the 5-byte schema prefix; `at` is the append time.',
    roots: [text(root.publicKey)],
    bundle: signedBundle(bundle),
    cases,
  }
}

export function bundleVectors(): object {
  const cases: object[] = []
  const vector = (name: string, signed: { body: string; signature: string }, expect: object, over: object = {}): void =>
    void cases.push({ name, ...signed, now: NOW, epsilon_ms: 250, min_version: 1, current: null, ...over, expect })
  const fault = (code: string): object => ({ ok: false, code })
  const hash = text(new KeyRing(bundle).hash)
  const main = signedBundle(bundle)
  const junk = Buffer.from('junk')
  const unchecked = (over: object): { body: string; signature: string } => {
    const body = trustBundleCodec.encode({ ...bundle, ...over })
    return { body: text(body), signature: text(signRecord('TrustBundle', body, root)) }
  }
  vector('in force', main, { ok: true, version: 7, hash })
  vector('again', main, { ok: true, version: 7, hash }, { current: { version: 7, hash } })
  vector(
    'the next',
    signedBundle({ ...bundle, version: 8 }),
    { ok: true, version: 8 },
    { current: { version: 7, hash } },
  )
  vector('not by a pinned root', signedBundle(bundle, otherRoot), fault('bundle_signature_invalid'))
  vector(
    'not a bundle',
    { body: text(junk), signature: text(signRecord('TrustBundle', junk, root)) },
    fault('bundle_malformed'),
  )
  vector('below the least version', main, fault('bundle_version_back'), { min_version: 8 })
  vector('before the one in force', main, fault('bundle_version_back'), { current: { version: 8, hash } })
  vector('another under the same version', signedBundle({ ...bundle, window_ms: 1 }), fault('bundle_version_reused'), {
    current: { version: 7, hash },
  })
  vector('from the future', main, fault('bundle_from_future'), { now: bundle.issued_at - 251 })
  vector('expired', main, fault('bundle_expired'), { now: bundle.expires_at })
  const [first, second] = bundle.keys as [(typeof bundle.keys)[0], (typeof bundle.keys)[0]]
  const malformed = fault('bundle_malformed')
  vector('version 0', unchecked({ version: 0 }), malformed)
  vector('a window of nothing', unchecked({ window_ms: 0 }), malformed)
  vector('a key id twice', unchecked({ keys: [first, { ...second, key_id: first.key_id }] }), malformed)
  vector('a public key twice', unchecked({ keys: [first, { ...second, public_key: first.public_key }] }), malformed)
  vector(
    'a key that ends before it begins',
    unchecked({ keys: [{ ...first, not_after: first.not_before }] }),
    malformed,
  )
  vector('a star among tenants', unchecked({ keys: [{ ...first, tenants: ['*', 'acme'] }] }), malformed)
  return { about: 'ENVELOPE.md §9.', roots: [text(root.publicKey)], cases }
}
