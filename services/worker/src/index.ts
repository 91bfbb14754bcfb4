/** Reference consumer: four job classes, and the process that works on them. */
export { startWorker, type Worker } from './app.ts'
export { config, type WorkerConfig } from './config.ts'
export { type JobClassRoutesOptions, jobClassRoutes } from './job-class-routes.ts'
export { jobClasses } from './job-classes.ts'
