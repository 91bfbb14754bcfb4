/**
 * Published flaws of others, and where we prove not to have them. Ids as their publishers give them; what
 * several advisories share stands in one row.
 */
export interface Advisory {
  readonly ids: readonly string[]
  /** What went wrong there. */
  readonly flaw: string
  /** Files whose tests name one of the ids; or why there is nothing to test. */
  readonly proof: { readonly tests: readonly string[] } | { readonly none: string }
}

const tests = (...files: string[]): Advisory['proof'] => ({ tests: files })

export const ADVISORIES: readonly Advisory[] = [
  {
    ids: ['CVE-2022-23539', 'CVE-2022-23540', 'CVE-2022-23541', 'CVE-2026-22817', 'CVE-2026-22818'],
    flaw: 'an algorithm or key type that was not meant verifies; a JWK without alg',
    proof: tests('libs/tokens/src'),
  },
  {
    ids: ['CVE-2023-48223', 'CVE-2026-34950'],
    flaw: 'white space around a PEM key gets past the check for key confusion',
    proof: tests('libs/tokens/src'),
  },
  {
    ids: ['CVE-2026-35039'],
    flaw: 'a cache of verified tokens under a key that two tokens share swaps identities',
    proof: tests('libs/boundary/src'),
  },
  { ids: ['CVE-2026-35042'], flaw: 'an unknown critical header is accepted', proof: tests('libs/tokens/src') },
  {
    ids: ['GHSA-869p-cjfg-cm3x', 'CVE-2018-0114'],
    flaw: 'the key comes from the token itself',
    proof: tests('libs/tokens/src'),
  },
  {
    ids: ['CVE-2022-36083', 'CVE-2024-28176'],
    flaw: 'encrypted tokens cost the receiver without bound',
    proof: tests('libs/tokens/src'),
  },
  {
    ids: ['CVE-2026-22036', 'CVE-2024-22025'],
    flaw: 'a compressed answer inflates without bound',
    proof: tests('libs/tokens/src'),
  },
  { ids: ['GHSA-wxg7-w2v3-w38g'], flaw: 'a missing exp or iat skips its check', proof: tests('libs/tokens/src') },
  {
    ids: ['CVE-2026-27840'],
    flaw: 'a truncated token is valid',
    proof: tests('libs/tokens/src', 'services/identity/src'),
  },
  { ids: ['CVE-2026-1035'], flaw: 'concurrent refreshes each get a child', proof: tests('test/races') },
  { ids: ['CVE-2026-9802'], flaw: 'a restart revives rotated tokens', proof: tests('test/races') },
  {
    ids: ['CVE-2022-3916', 'CVE-2023-6787', 'CVE-2024-7341'],
    flaw: 'a session keeps its id across login or a change of user',
    proof: tests('services/identity/src'),
  },
  {
    ids: ['CVE-2026-3429'],
    flaw: 'a password alone takes the second factor away, and adds another',
    proof: tests('services/identity/src/factors'),
  },
  {
    ids: ['CVE-2025-6014', 'CVE-2025-43798', 'CVE-2026-33473'],
    flaw: 'a one-time code is accepted twice',
    proof: tests('services/identity/src/factors'),
  },
  {
    ids: ['CVE-2025-55003', 'CVE-2026-56450'],
    flaw: 'one-time codes may be guessed without limit, or, with white space in them, past it',
    proof: tests('services/identity/src/factors'),
  },
  {
    ids: ['CVE-2026-8830'],
    flaw: 'what a passkey has to be is asked of the browser and not checked',
    proof: tests('services/identity/src/factors'),
  },
  {
    ids: ['CVE-2026-8922'],
    flaw: 'a narrow cut-off hides a broad one',
    proof: tests('services/identity/src'),
  },
  {
    ids: ['CVE-2026-37979'],
    flaw: 'introspection answers for any audience',
    proof: tests('services/identity/src', 'libs/boundary/src'),
  },
  { ids: ['CVE-2020-15223'], flaw: 'revocation ignores that the store failed', proof: tests('test/races') },
  {
    ids: ['CVE-2020-5300', 'CVE-2020-15222'],
    flaw: 'a client assertion is accepted twice',
    proof: tests('services/identity/src'),
  },
  {
    ids: ['CVE-2021-32701'],
    flaw: 'cached introspection ignores what it was asked for',
    proof: tests('libs/boundary/src'),
  },
  {
    ids: ['CVE-2023-22492', 'CVE-2025-64521'],
    flaw: 'a locked user goes on refreshing',
    proof: tests('services/identity/src'),
  },
  {
    ids: ['CVE-2026-55670'],
    flaw: 'an id means another person in another tenant, or after deletion',
    proof: tests('services/identity/src'),
  },
  {
    ids: ['CVE-2020-10734'],
    flaw: 'logout by a foreign page, or by a token of another type',
    proof: tests('services/identity/src'),
  },
  {
    ids: ['CVE-2020-10770', 'CVE-2026-1180'],
    flaw: 'the server fetches an address the caller names',
    proof: tests('services/identity/src'),
  },
  {
    ids: ['SNYK-JS-IOREDIS-1567196', 'CVE-2021-29469'],
    flaw: 'a hostile store pollutes prototypes or stalls the client',
    proof: tests('libs/session-store/src/redis', 'test/contract'),
  },
  {
    ids: ['CVE-2024-31228', 'CVE-2025-49844'],
    flaw: 'patterns and scripts of callers reach the store',
    proof: tests('libs/session-store/src/redis', 'test/contract'),
  },
  {
    ids: ['CVE-2026-35554'],
    flaw: 'an acknowledged record lands in another topic',
    proof: tests('test/fuzz', 'libs/envelope/src'),
  },
  {
    ids: ['CVE-2023-39410', 'CVE-2024-47561'],
    flaw: 'decoding allocates what the input claims, or runs what its schema says',
    proof: tests('test/fuzz', 'schemas/src'),
  },
  {
    ids: ['CVE-2025-64484'],
    flaw: 'a header spelled with _ passes for the one the proxy sets',
    proof: tests('services/gateway/src'),
  },
  {
    ids: ['CVE-2025-48865', 'CVE-2024-45410', 'CVE-2026-33805'],
    flaw: 'Connection lists headers that the proxy sets, and they are dropped',
    proof: tests('services/gateway/src'),
  },
  {
    ids: ['CVE-2026-40575', 'CVE-2026-3635', 'GHSA-vhr5-ggp3-qq85'],
    flaw: 'X-Forwarded-* of anybody decides which rule holds',
    proof: tests('services/gateway/src'),
  },
  {
    ids: ['CVE-2019-9900'],
    flaw: 'a NUL in a header hides what follows from the rules',
    proof: tests('services/gateway/src'),
  },
  {
    ids: ['GHSA-p224-6x5r-fjpm', 'CVE-2025-32431', 'CVE-2019-9901', 'CVE-2021-21322', 'CVE-2021-21321'],
    flaw: 'dots in a path lead past the rule that matched it',
    proof: tests('services/gateway/src'),
  },
  {
    ids: ['GHSA-vrch-868g-9jx5', 'CVE-2021-29492', 'CVE-2025-66490', 'CVE-2026-34908'],
    flaw: 'encoded characters are structure behind the rule, and none before it',
    proof: tests('services/gateway/src'),
  },
  {
    ids: ['CVE-2021-31920', 'CVE-2026-26205'],
    flaw: 'slashes in a row are another path, or a host',
    proof: tests('services/gateway/src'),
  },
  {
    ids: ['CVE-2026-41059', 'CVE-2021-32779'],
    flaw: 'a fragment belongs to the path for one of two readers',
    proof: tests('services/gateway/src'),
  },
  {
    ids: ['CVE-2026-27587'],
    flaw: 'another case matches another rule',
    proof: tests('services/gateway/src'),
  },
  {
    ids: ['CVE-2025-54576'],
    flaw: 'a rule for a path matches in the query',
    proof: tests('services/gateway/src'),
  },
  {
    ids: ['CVE-2023-51701', 'CVE-2025-32442', 'CVE-2026-25223'],
    flaw: 'an odd content type changes a body on its way, or hides it from checks',
    proof: tests('services/gateway/src'),
  },
  {
    ids: ['CVE-2022-32213', 'CVE-2022-32214', 'CVE-2022-32215', 'CVE-2023-30589', 'CVE-2024-27982', 'CVE-2025-43859'],
    flaw: 'two readers differ on where a request ends',
    proof: tests('services/gateway/src'),
  },
  {
    ids: ['CVE-2026-2833'],
    flaw: 'what follows a request to upgrade is passed on before anybody agreed',
    proof: tests('services/gateway/src'),
  },
  {
    ids: ['CVE-2022-35948', 'CVE-2022-31150'],
    flaw: 'a line break in a value makes a header of the caller’s',
    proof: tests('services/gateway/src'),
  },
]
