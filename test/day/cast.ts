/** Who plays: fifty people in three tenants, one operator, one webhook provider. */
import { randomBytes } from 'node:crypto'

export interface Role {
  readonly email: string
  readonly password: string
  readonly tenant: string
  readonly sub: string
  readonly roles: readonly string[]
}

export const TENANTS = ['acme', 'globex', 'initech'] as const
export const FULL_ROLES: readonly string[] = ['accountant', 'member']
export const LESSER_ROLES: readonly string[] = ['member']

const secret = (): string => randomBytes(24).toString('base64url')

/** Secrets of this run; nobody else's. */
export class Cast {
  readonly people: readonly Role[]
  readonly operatorSecret: string = secret() + secret()
  readonly serviceSecret: string = secret() + secret()
  readonly scheduleSecret: string = secret()
  readonly webhookSecret: string = `whsec_${randomBytes(24).toString('base64')}`

  constructor(count = 50) {
    this.people = Array.from({ length: count }, (_, i) => {
      const tenant = TENANTS[i % TENANTS.length] as string
      return {
        email: `person${i + 1}@${tenant}.example`,
        password: `correct horse ${i + 1}`,
        tenant,
        sub: `sub-${i + 1}`,
        roles: FULL_ROLES,
      }
    })
  }

  /** What identity makes at its first start. */
  seed(): object {
    return {
      accounts: this.people.map(({ email, password, tenant, sub, roles }) => ({
        sub,
        email,
        password,
        affiliations: [{ tenant, roles }],
      })),
      secrets: [
        { name: 'operator', use: 'operator', secret: this.operatorSecret },
        { name: 'gateway', use: 'service', secret: this.serviceSecret },
      ],
    }
  }
}
