/** The four job classes of the reference consumer. They differ on purpose, in scopes, budgets and in-flight rules. */
import { defineJobClass, defineJobClasses, type JobClassLimits, type JobClassRules } from '@countersign/policy'

/** @throws {POLICY_CLASS_INVALID} when the checkpoint interval is too long for the smallest budget. */
export function jobClasses(limits: JobClassLimits = {}): readonly JobClassRules[] {
  return [
    // Asked for before the person left, it may finish; a lost role takes it.
    defineJobClass(
      {
        name: 'export',
        topic: 'invoices.export',
        action: 'export',
        object: 'invoice_id',
        preset: 'finish-accepted',
        scopes: ['invoices:export'],
      },
      limits,
    ),
    // Stops for anything, under the freshest view there is.
    defineJobClass(
      {
        name: 'payment',
        topic: 'payments.run',
        action: 'pay',
        object: 'invoice_id',
        preset: 'money',
        scopes: ['payments:run'],
      },
      limits,
    ),
    // Does not start once the person has left, but a started one is not cut off by it.
    defineJobClass(
      {
        name: 'email',
        topic: 'emails.send',
        action: 'send',
        object: 'invoice_id',
        scopes: ['emails:send'],
        inFlight: { running: { logout: 'finish', expiry: 'finish', limit: 'finish' } },
        stalenessBudgetMs: 8_000,
        attempts: 5,
      },
      limits,
    ),
    // Nobody waits for it: the widest budget, and what cannot be judged is parked rather than waited for.
    defineJobClass(
      {
        name: 'report',
        topic: 'reports.build',
        action: 'build',
        object: 'invoice_id',
        preset: 'finish-accepted',
        scopes: ['reports:build'],
        inFlight: { queued: { password_reset: 'finish' }, running: { password_reset: 'finish' } },
        stalenessBudgetMs: 15_000,
        whenNotFresh: 'park',
      },
      limits,
    ),
  ]
}

/**
 * The classes a configuration gives, or the four.
 * @throws {SyntaxError} for what is no JSON. @throws {POLICY_CLASS_INVALID}
 */
export function givenClasses(config: {
  readonly jobClasses?: string | undefined
  readonly checkpointInterval: number
  readonly epsilon: number
}): readonly JobClassRules[] {
  const { jobClasses: given, checkpointInterval: checkpointIntervalMs, epsilon: epsilonMs } = config
  const limits = { checkpointIntervalMs, epsilonMs }
  return given === undefined ? jobClasses(limits) : defineJobClasses(JSON.parse(given), limits)
}
