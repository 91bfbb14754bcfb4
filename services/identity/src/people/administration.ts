/** What people, administrators and operators may do to authority: each act, its ending path and its checks. */
import { createHash } from 'node:crypto'
import type { Clock, Millis, Random } from '@countersign/kernel'
import { affiliationTarget, type Target, target } from '@countersign/revocation'
import type { Reason } from '@countersign/schemas'
import type { Account, Affiliation, Change, Refused, SessionStore } from '@countersign/session-store'
import { type Answer, answerOf, derivedId, freshId, idText, requestDigest } from '../answers.ts'
import type { Authority } from '../authority.ts'
import type { EndingPath } from '../endings.ts'
import { type Grants, removedScopes } from './grants.ts'
import type { Passwords } from './passwords.ts'

/** Who asks, and with which id. */
export interface Asked {
  /** 16 bytes; a fresh one is taken when the caller chose none. */
  readonly id: Buffer | null
  /** Subject, `operator:<name>` or `system:<part>`. */
  readonly initiator: string
  readonly requestId?: string
}

export interface AdministrationOptions {
  readonly store: SessionStore
  readonly authority: Authority
  readonly passwords: Passwords
  readonly clock: Clock
  readonly random: Random
  readonly grants: Grants
  readonly resetCodeMs: Millis
}

export class Administration {
  readonly #options: AdministrationOptions

  constructor(options: AdministrationOptions) {
    this.#options = options
  }

  /** Suspends a person everywhere. */
  suspendAccount(sub: string, asked: Asked): Promise<Answer> {
    return this.#end('account_suspension', asked, null, target('subject', sub), { kind: 'account_suspended', sub })
  }

  /** Deletes a person; the subject id is never given out again. */
  deleteAccount(sub: string, asked: Asked): Promise<Answer> {
    return this.#end('account_deletion', asked, null, target('subject', sub), { kind: 'account_deleted', sub })
  }

  /** Suspends a person in one tenant. */
  suspendAffiliation(tenant: string, sub: string, asked: Asked): Promise<Answer> {
    const change: Change = { kind: 'affiliation_suspended', tenant, sub }
    return this.#end('affiliation_suspension', asked, tenant, affiliationTarget(tenant, sub), change)
  }

  /** Removes a person from one tenant. */
  removeAffiliation(tenant: string, sub: string, asked: Asked): Promise<Answer> {
    const change: Change = { kind: 'affiliation_removed', tenant, sub }
    return this.#end('affiliation_removal', asked, tenant, affiliationTarget(tenant, sub), change)
  }

  restoreAccount(sub: string): Promise<Account | Refused> {
    return this.#options.store.restoreAccount(sub)
  }

  restoreAffiliation(tenant: string, sub: string): Promise<Affiliation | Refused> {
    return this.#options.store.restoreAffiliation(tenant, sub)
  }

  /** Sets someone's roles; one signal per scope lost. Roles changed in between are looked at again, a few times. */
  async setRoles(tenant: string, sub: string, roles: readonly string[], asked: Asked): Promise<Answer> {
    const { store, authority, random, grants } = this.#options
    const id = asked.id ?? freshId(random)
    const request = requestDigest(['role_change', tenant, sub, [...roles].sort()])
    for (let attempt = 0; ; attempt++) {
      const now = await store.affiliation(tenant, sub)
      if (now === null) return { state: 'refused', id: idText(id), code: 'affiliation_unknown' }
      const answer = await authority.end('role_change', {
        ...given(asked),
        id,
        request,
        tenant,
        change: { kind: 'roles_set', tenant, sub, roles, revision: now.revision },
        facts: { target: affiliationTarget(tenant, sub), scopes: removedScopes(now.roles, roles, grants) },
      })
      if (answer.state !== 'refused' || answer.code !== 'affiliation_changed' || attempt === 4) return answer
    }
  }

  /** Makes a single-use code in place of any earlier one. Shown once; only its hash is kept. */
  async issueResetCode(sub: string): Promise<{ code: string; expiresAt: number } | Refused> {
    const { store, clock, random, resetCodeMs } = this.#options
    const account = await store.account(sub)
    // A service has no password: nobody logs in as one.
    if (account?.principal !== 'user' || account.state === 'deleted') return { refused: 'account_unknown' }
    const code = random.bytes(24).toString('base64url')
    const expiresAt = clock.now() + resetCodeMs
    await store.putResetCode({ sub, codeHash: codeHash(code), expiresAt })
    return { code, expiresAt }
  }

  /** Uses a code: new password, every session of the person ended. Its id follows from the code. */
  async resetPassword(code: string, password: string, requestId: string): Promise<Answer> {
    const { store, authority, passwords, clock } = this.#options
    const hash = codeHash(code)
    const id = derivedId('password_reset', hash)
    const before = await store.revocation(id)
    if (before !== null) return answerOf(before)
    const sub = await store.resetCodeOwner(hash, clock.now())
    if (sub === null) return { state: 'refused', id: idText(id), code: 'reset_code_unknown' }
    return authority.end('password_reset', {
      id,
      request: requestDigest(['password_reset', sub]),
      initiator: sub,
      tenant: null,
      change: { kind: 'password_reset', sub, codeHash: hash, password: await passwords.hash(password) },
      facts: { target: target('subject', sub) },
      requestId,
    })
  }

  /** Revokes any target by name; `others` are the same one under other keys. */
  revoke(
    o: {
      target: Target
      others?: readonly Target[]
      effect: string
      fallback: Reason
      cause: string | null
      tenant: string | null
    },
    asked: Asked,
  ): Promise<Answer> {
    const { kind, tenant, id } = o.target
    return this.#options.authority.end('revocation', {
      ...given(asked),
      id: asked.id ?? freshId(this.#options.random),
      request: requestDigest(['revocation', kind, tenant, id, o.effect, o.fallback, o.cause]),
      tenant: o.tenant,
      change: { kind: 'none' },
      facts: { target: o.target, effect: o.effect, fallback: o.fallback },
      others: o.others ?? [],
      cause: o.cause === null ? 'revocation' : `revocation:${o.cause}`,
    })
  }

  #end(path: EndingPath, asked: Asked, tenant: string | null, hit: Target, change: Change): Promise<Answer> {
    return this.#options.authority.end(path, {
      ...given(asked),
      id: asked.id ?? freshId(this.#options.random),
      request: requestDigest([path, hit.tenant, hit.id]),
      tenant,
      change,
      facts: { target: hit },
    })
  }
}

function given({ initiator, requestId }: Asked): { initiator: string; requestId?: string } {
  return requestId === undefined ? { initiator } : { initiator, requestId }
}

function codeHash(code: string): Buffer {
  return createHash('sha256').update('countersign.reset-code.v1\0').update(code).digest()
}
