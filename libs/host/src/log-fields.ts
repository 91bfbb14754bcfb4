/** Where the log is, as configuration says it. */
import { field } from '@countersign/kernel'
import { type MoreLog, readSignalsLogs } from '@countersign/schemas'
import { z } from 'zod'

/** Signals logs beside `main`, the same for all who share them. */
export const signalsLogsField: z.ZodType<readonly MoreLog[], string | undefined> = z
  .string()
  .prefault('{}')
  .transform((json, ctx) => {
    try {
      return readSignalsLogs(json)
    } catch (error) {
      ctx.addIssue({ code: 'custom', message: (error as RangeError).message })
      return z.NEVER
    }
  })
  .describe('more signals logs and the tenants they own, JSON such as {"eu":["acme"]}; default {}: one log')

/** Configuration of a server that has one log. */
export const logFields: {
  readonly logPath: z.ZodOptional<z.ZodString>
  readonly kafkaBrokers: z.ZodOptional<ReturnType<typeof field.list>>
  readonly registryUrl: z.ZodOptional<ReturnType<typeof field.url>>
  readonly signalsLogs: typeof signalsLogsField
} = {
  logPath: field.text().optional().describe('file of the embedded log; give this or KAFKA_BROKERS'),
  kafkaBrokers: field.list().optional().describe('addresses of brokers; give these or LOG_PATH'),
  registryUrl: field.url().optional().describe('schema registry with its path; needed with KAFKA_BROKERS'),
  signalsLogs: signalsLogsField,
}

interface LogSettings {
  readonly logPath?: string | undefined
  readonly kafkaBrokers?: readonly string[] | undefined
  readonly registryUrl?: string | undefined
}

/** Refinement of a configuration with `logFields`: it names one log, in full. */
export function namesOneLog(settings: LogSettings, ctx: Pick<z.RefinementCtx, 'addIssue'>): void {
  const { logPath, kafkaBrokers, registryUrl } = settings
  const complain = (key: string, message: string): void => ctx.addIssue({ code: 'custom', path: [key], message })
  if (logPath === undefined && kafkaBrokers === undefined) complain('logPath', 'give it, or COUNTERSIGN_KAFKA_BROKERS')
  if (logPath !== undefined && kafkaBrokers !== undefined) complain('logPath', 'not together with KAFKA_BROKERS')
  if (kafkaBrokers !== undefined && registryUrl === undefined) complain('registryUrl', 'needed with KAFKA_BROKERS')
}

/** The log that settings name, once `namesOneLog` has passed them. */
export function logPlace({
  logPath,
  kafkaBrokers = [],
  registryUrl = '',
}: LogSettings):
  | { readonly logPath: string }
  | { readonly kafkaBrokers: readonly string[]; readonly registryUrl: string } {
  return logPath === undefined ? { kafkaBrokers, registryUrl } : { logPath }
}
