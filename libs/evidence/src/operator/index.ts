export { type AnswerState, askIdentity, type IdentityReply, type OperatorAccess, stateOf } from './identity.ts'
