/** Job classes as a team keeps them in a file: a list, or what a worker answers to who asks for its classes. */
import { PolicyError } from './errors.ts'
import { defineJobClass, type JobClassLimits, type JobClassRules } from './job-class.ts'

/**
 * Turns a parsed file into job classes: a list, or an object whose `classes` is one.
 *
 * @param data as parsed from JSON; `ruleVersion`, which workers tell beside the rules, is not looked at.
 * @returns at least one, in the order of the file, names distinct.
 * @throws {POLICY_CLASS_INVALID} when it is no such list, a class is not valid, or two have one name.
 */
export function defineJobClasses(data: unknown, limits: JobClassLimits = {}): readonly JobClassRules[] {
  const list = isObject(data) && Object.keys(data).join() === 'classes' ? data.classes : data
  if (!Array.isArray(list) || list.length === 0) {
    throw invalid(
      'job classes are a list with at least one class, or an object with nothing but such a list, `classes`',
    )
  }
  const classes = list.map((one: unknown) => defineJobClass(isObject(one) ? withoutVersion(one) : one, limits))
  const repeated = classes.find(({ name }, i) => classes.findIndex((other) => other.name === name) < i)
  if (repeated) throw invalid(`two job classes are called ${repeated.name}`)
  return Object.freeze(classes)
}

function withoutVersion({ ruleVersion: _, ...rules }: Record<string, unknown>): Record<string, unknown> {
  return rules
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function invalid(publicMessage: string): PolicyError {
  return new PolicyError({ code: 'POLICY_CLASS_INVALID', retriable: false, publicMessage })
}
