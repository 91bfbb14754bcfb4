/** Configuration of the audit, from `COUNTERSIGN_*`. */
import { ed25519Key } from '@countersign/envelope'
import { hostFields, logFields, namesOneLog } from '@countersign/host'
import { field, isCountersignError } from '@countersign/kernel'
import { z } from 'zod'

export const config = z
  .object({
    ...hostFields,
    ...logFields,
    archivePath: field.text().describe('file of the archive; made where missing, its folder must exist'),
    auditKey: field.secret().describe('the key that signs checkpoints, PKCS#8 PEM; use _FILE'),
    auditKeyId: field.text().default('audit').describe('its id in the trust bundle; default audit'),
    checkpointEvery: field.duration().prefault('5s').describe('between checkpoints; default 5s'),
    maxLag: field.duration().prefault('60s').describe('how far behind the log it may be and be ready; default 60s'),
    keep: field.duration().optional().describe('how long rows are kept, such as 400d; default: for good'),
  })
  .superRefine(namesOneLog)
  .superRefine(({ auditKey, auditKeyId }, ctx) => {
    try {
      ed25519Key(auditKeyId, auditKey.reveal())
    } catch (error) {
      const message = isCountersignError(error) ? error.publicMessage : 'is no key'
      ctx.addIssue({ code: 'custom', path: ['auditKey'], message })
    }
  })

export type AuditConfig = Readonly<z.output<typeof config>>
