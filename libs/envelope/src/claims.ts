/** Claims as JSON: read strictly, member by member, once whoever they come from has been checked. */
export { type IdentityClaims, type NamedTarget, readIdentityClaims, seconds } from './identity-claims.ts'
export { list, type Members, member, object, oneOf, orNull, string, text, time, whole } from './members.ts'
export { readTransactionClaims, type TransactionClaims } from './transaction-claims.ts'
