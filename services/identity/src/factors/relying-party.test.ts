import { expect, test } from 'vitest'
import { relyingPartyFaults, relyingPartyOf } from './relying-party.ts'

const issuer = 'https://id.example.com/tenant'

test('is where the issuer is unless it is said', () => {
  expect(relyingPartyOf({ issuer })).toMatchObject({ id: 'id.example.com', origins: ['https://id.example.com'] })
  const origins = ['https://a.example.com', 'https://example.com:8443']
  expect(relyingPartyOf({ issuer, domain: 'example.com', origins })).toMatchObject({ id: 'example.com', origins })
})

test('is nowhere for a server known by its address alone', () => {
  for (const address of ['http://127.0.0.1:8080', 'http://[::1]:8080'])
    expect([relyingPartyOf({ issuer: address }), relyingPartyFaults({ issuer: address })]).toEqual([null, []])
  expect(relyingPartyOf({ issuer: 'http://127.0.0.1', domain: 'localhost' })).not.toBeNull()
})

test.each([
  [{}, []],
  [{ domain: 'example.com' }, []],
  [{ domain: 'localhost', origins: ['http://localhost:8080'] }, []],
  [{ domain: 'example.com', origins: ['https://a.example.com', 'https://example.com'] }, []],
  [{ domain: 'other.com' }, ['origins']],
  [{ domain: 'ample.com' }, ['origins']],
  [{ domain: '127.0.0.1', origins: ['http://127.0.0.1'] }, ['domain', 'origins']],
  [{ domain: 'https://id.example.com' }, ['domain', 'origins']],
  [{ origins: ['http://id.example.com'] }, ['origins']],
  [{ origins: ['https://id.example.com/'] }, ['origins']],
  [{ origins: ['https://id.example.com.evil.test'] }, ['origins']],
  [{ origins: ['https://evilid.example.com'] }, ['origins']],
  [{ origins: ['nowhere'] }, ['origins']],
])('%o', (terms, wrong) => expect(relyingPartyFaults({ issuer, ...terms })).toEqual(wrong))
