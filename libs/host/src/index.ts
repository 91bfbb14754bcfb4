/** Process lifecycle: HTTP, health, drain, problem responses. */
export { showsSecret } from './bearer.ts'
export { boundaryFields, viewFields } from './boundary-fields.ts'
export { hostFields, type ProcessOptions, type Running, runProcess, usageError } from './lifecycle.ts'
export { logFields, logPlace, namesOneLog, signalsLogsField } from './log-fields.ts'
export { genericProblem, type Problem, type ProblemMap, type ProblemSpec, problemOf, sendProblem } from './problem.ts'
export { createServer, type Readiness, type ServerOptions } from './server.ts'
