/** The operators' command line, for programs that embed it. */
export { EXIT, type ExitCode } from './exit-codes.ts'
export { type ProgramContext, runProgram } from './program.ts'
export type { Terminal } from './terminal.ts'
