/** For producers: credentials end here, jobs are sealed and sent. Hooks are in `/fastify` and `/express`. */
export { type Admission, type Boundary, type BoundaryOptions, createBoundary, eventIdOf } from './boundary.ts'
export type { ContextDetail, ContextPolicy } from './context.ts'
export {
  BoundaryError,
  type BoundaryErrorCode,
  type Denial,
  type DenialCode,
  type PublicDenial,
  publicDenial,
} from './denial.ts'
export { type BoundaryRequest, stripCredentials } from './http.ts'
export type { BoundaryIdentity, IdentityTarget, ResolvedIdentity } from './identity.ts'
export { httpIntrospection, type IntrospectionOptions, type TokenResolver } from './introspection.ts'
export type { ForeignIssuerConfig, IssuerConfig, OwnIssuerConfig } from './issuers.ts'
export type { Job, Jobs } from './jobs.ts'
export type { Sent } from './outlet.ts'
export { memoryReplayGuard, type ReplayGuard } from './replay.ts'
export type { ScheduleEntry, ScheduleOptions } from './schedules.ts'
export { cookieValue, type HttpSessionsOptions, httpSessions, type SessionResolver } from './sessions.ts'
export type { SystemEntry, SystemOptions } from './systems.ts'
export type { Delivery, WebhookEntry, WebhookOptions, WebhookScheme } from './webhooks.ts'
