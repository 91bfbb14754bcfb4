/** The console: what operators see and do, in a browser. */
export { type Console, startConsole } from './app.ts'
export { type ConsoleConfig, config } from './config.ts'
