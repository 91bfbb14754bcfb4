/** The notary role of identity. */
export { Notary } from './notary.ts'
export type { NotaryOptions, NotaryStatus, Withheld } from './options.ts'
