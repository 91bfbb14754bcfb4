/** The audit as a library: for tests, drills and whoever runs all services in one process. */
export { type Audit, startAudit } from './app.ts'
export { type AuditConfig, config } from './config.ts'
