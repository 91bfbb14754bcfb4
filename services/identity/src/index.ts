/** Identity as a library: for the reference day, tests and simulations. */
export { type Identity, type IdentityOptions, startIdentity } from './app.ts'
export { type BundleSource, type BundleTerms, bundleSource } from './bundle.ts'
export { contradictions, type IdentityConfig, identityConfig } from './config.ts'
export { ENDINGS, type EndingPath, type EndingRow } from './endings.ts'
export { initKeys, type KeyOrder, readGrants, readRootPublicKey, readSigningKey } from './key-files.ts'
export { Notary, type NotaryOptions, type NotaryStatus } from './notary/index.ts'
