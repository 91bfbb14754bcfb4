/** The operators' command line, for programs that embed it. */
export type { Example } from './command.ts'
export { EXIT, type ExitCode } from './exit-codes.ts'
export { type ProgramContext, programExamples, runProgram } from './program.ts'
export type { Terminal } from './terminal.ts'
