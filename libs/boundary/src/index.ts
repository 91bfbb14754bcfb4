/** For producers: credentials end here, jobs are sealed and sent. Hooks are in `/fastify` and `/express`. */
export { type Answer, answerOf } from './answer.ts'
export type { Assess, Assessment } from './assessment.ts'
export {
  type Admission,
  type Boundary,
  type BoundaryOptions,
  createBoundary,
  eventIdOf,
  type GivenCredential,
} from './boundary.ts'
export type { ContextDetail, ContextPolicy } from './context.ts'
export type { Demands } from './demands.ts'
export {
  BoundaryError,
  type BoundaryErrorCode,
  type Challenge,
  type Denial,
  type DenialCode,
  type PublicDenial,
  publicDenial,
} from './denial.ts'
export { type BoundaryRequest, type Credential, type CredentialForm, credentialOf, stripCredentials } from './http.ts'
export type { Arrival } from './identities.ts'
export type { BoundaryIdentity, IdentityTarget, ResolvedIdentity } from './identity.ts'
export { httpIntrospection, type IntrospectionOptions, type TokenResolver } from './introspection.ts'
export { type ForeignIssuerConfig, IDENTITY_TOKENS, type IssuerConfig, type OwnIssuerConfig } from './issuers.ts'
export type { Job, Jobs, SealedJob } from './jobs.ts'
export type { Outgoing, Sent } from './outlet.ts'
export type { RememberOptions } from './remembered.ts'
export { memoryReplayGuard, type ReplayGuard } from './replay.ts'
export type { ScheduleEntry, ScheduleOptions } from './schedules.ts'
export { cookieValue, type HttpSessionsOptions, httpSessions, type SessionResolver } from './sessions.ts'
export type { SystemEntry, SystemOptions } from './systems.ts'
export type { TxnTokenAnswer, TxnTokenOptions, TxnTokenRequest } from './txn-tokens.ts'
export type { BoundaryView, ChangingView } from './watching.ts'
export type { Delivery, WebhookEntry, WebhookOptions, WebhookScheme } from './webhooks.ts'
