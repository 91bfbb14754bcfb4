/** The notary role of identity. */
export { Notary, type NotaryOptions, type NotaryStatus, type Withheld } from './notary.ts'
