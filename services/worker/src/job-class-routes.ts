/** The rules as they are in force, and a place to try them: a probe is opened and decided, and nothing more. */
import type { Enforcer } from '@countersign/enforcer'
import { sendProblem, showsSecret } from '@countersign/host'
import type { Secret } from '@countersign/kernel'
import { type JobClassRules, ruleVersion } from '@countersign/policy'
import { ENVELOPE_HEADER } from '@countersign/schemas'
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import { problems } from './problems.ts'

export interface JobClassRoutesOptions {
  readonly classes: readonly JobClassRules[]
  readonly enforcer: Pick<Enforcer, 'probe'>
  /** Who shows it may probe; without one nobody may. */
  readonly probeSecret: Secret | undefined
}

const bytes = z.base64().transform((text) => Buffer.from(text, 'base64'))
const probeBody = z.strictObject({ envelope: bytes.nullable(), key: bytes.nullable(), value: bytes.nullable() })

export async function jobClassRoutes(
  app: FastifyInstance,
  { classes, enforcer, probeSecret }: JobClassRoutesOptions,
): Promise<void> {
  app.get('/v1/job-classes', async () => classes.map((rules) => ({ ...rules, ruleVersion: ruleVersion(rules) })))
  if (probeSecret === undefined) return

  app.post<{ Params: { name: string } }>('/v1/job-classes/:name/probe', async (request, reply) => {
    const refuse = (code: keyof typeof problems): unknown => sendProblem(reply, code, problems[code])
    if (!showsSecret(request.headers.authorization, probeSecret)) return refuse('probe_secret_wrong')
    const { name } = request.params
    if (!classes.some((rules) => rules.name === name)) return refuse('job_class_unknown')
    const parsed = probeBody.safeParse(request.body)
    if (!parsed.success) return refuse('body_invalid')
    const { envelope, key, value } = parsed.data
    return enforcer.probe(name, { key, value, headers: { [ENVELOPE_HEADER]: envelope ?? undefined } })
  })
}
