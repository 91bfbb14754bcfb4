/** The reference producer, for tests that start it in their own process. */
export { type Api, startApi } from './app.ts'
export { type ApiConfig, config } from './config.ts'
