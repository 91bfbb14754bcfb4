export { findPath, inOrder, type PathFound } from './find.ts'
export { type JobFound, JobReader } from './jobs.ts'
export { type Named, PathNames } from './names.ts'
export { decisionSteps, journeyEvents, namesOfEvent, type Step, stepOfEvent, stepOfJob } from './steps.ts'
