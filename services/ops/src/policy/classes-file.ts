/** Job classes and cases in JSON files. */
import { isCountersignError } from '@countersign/kernel'
import { defineJobClasses, type JobClassLimits, type JobClassRules } from '@countersign/policy'
import { durationOf, readText } from '../connection.ts'
import { wrongArgument } from '../errors.ts'

/** What the staleness budgets of classes are checked against. */
export interface LimitOptions {
  checkpointInterval: string
  epsilon: string
}

export function limitsOf({ checkpointInterval, epsilon }: LimitOptions): Required<JobClassLimits> {
  return {
    checkpointIntervalMs: durationOf('--checkpoint-interval', checkpointInterval),
    epsilonMs: durationOf('--epsilon', epsilon),
  }
}

/** @throws {OPS_ARGUMENT_INVALID} when the file cannot be read, or is no JSON. */
export function readJson(file: string): unknown {
  try {
    return JSON.parse(readText(file))
  } catch (error) {
    if (isCountersignError(error)) throw error
    throw wrongArgument(`${file} is not JSON`)
  }
}

/** @throws {OPS_ARGUMENT_INVALID} naming the file and what is wrong with it. */
export function readClasses(file: string, limits: JobClassLimits): readonly JobClassRules[] {
  return inFile(file, () => defineJobClasses(readJson(file), limits))
}

/** Runs `read`, whose complaints are about what stands in `file`. */
export function inFile<T>(file: string, read: () => T): T {
  try {
    return read()
  } catch (error) {
    if (isCountersignError(error) && error.code.startsWith('POLICY_'))
      throw wrongArgument(`${file}: ${error.publicMessage}`)
    throw error
  }
}
