/** `policy test`: a table of cases, judged as consumers would. Needs no log. */
import { dirname, resolve } from 'node:path'
import { type CaseResult, type Decision, defineJobClasses, judgeCases, readCases } from '@countersign/policy'
import { wrongArgument } from '../errors.ts'
import { EXIT, type ExitCode } from '../exit-codes.ts'
import { type Format, print, type Terminal } from '../terminal.ts'
import { inFile, type LimitOptions, limitsOf, readClasses, readJson } from './classes-file.ts'

export interface PolicyTestOptions extends LimitOptions {
  /** File with job classes, over what the table names. */
  classes?: string
  output: Format
}

/** Prints the cases that failed, all of them as JSON. @returns `differs` when one did. */
export function policyTest(file: string, options: PolicyTestOptions, terminal: Terminal): ExitCode {
  const limits = limitsOf(options)
  const results = inFile(file, () => {
    const table = readCases(readJson(file))
    return judgeCases(table.cases, classes(table.classes))
  })
  const failed = results.filter(({ passed }) => !passed)
  print(terminal, options.output, { json: results, head: HEAD, rows: failed.map(rowOf) })
  terminal.say(`${results.length - failed.length} of ${results.length} cases are as expected.`)
  return failed.length === 0 ? EXIT.ok : EXIT.differs

  function classes(given: unknown) {
    if (options.classes !== undefined) return readClasses(options.classes, limits)
    // Beside the table, wherever the command is run.
    if (typeof given === 'string') return readClasses(resolve(dirname(file), given), limits)
    if (given === undefined) throw wrongArgument(`${file} says no "classes": name their file with --classes`)
    return defineJobClasses(given, limits)
  }
}

const HEAD = ['Case', 'Class', 'Expected', 'Found', 'Rule']

function rowOf({ name, class: jobClass, expected, decision }: CaseResult): string[] {
  return [name, jobClass, wordsOf(expected), wordsOf(foundOf(decision)), decision.rule]
}

function foundOf(decision: Decision): { outcome: string; reason: string; scopes?: readonly string[] } {
  const { outcome, reason } = decision
  return { outcome, reason, ...(decision.outcome === 'allow' && { scopes: decision.scopes }) }
}

type Words = {
  outcome: string
  reason?: string | undefined
  rule?: string | undefined
  scopes?: readonly string[] | undefined
}

function wordsOf({ outcome, reason, rule, scopes }: Words): string {
  const left = scopes === undefined ? [] : [`with ${scopes.join(' ') || 'no scope'}`]
  return [
    outcome,
    ...(reason === undefined || reason === 'allowed' ? [] : [reason]),
    ...(rule === undefined ? [] : [`by ${rule}`]),
    ...left,
  ].join(' ')
}
