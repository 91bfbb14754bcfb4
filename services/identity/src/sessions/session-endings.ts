/** How sessions end one by one: by their person, by who administers them, by time, and with a lost device. */
import type { Clock, Random } from '@countersign/kernel'
import { target } from '@countersign/revocation'
import type { Change, Device, Session, SessionKind, SessionStore } from '@countersign/session-store'
import { type Answer, answerOf, derivedId, freshId, idText, requestDigest } from '../answers.ts'
import type { Authority } from '../authority.ts'
import type { EndingPath } from '../endings.ts'
import type { Asked } from '../people/administration.ts'
import { cookieHash } from './credentials.ts'
import { targetOf } from './kinds.ts'

export interface SessionEndingsOptions {
  readonly store: SessionStore
  readonly authority: Authority
  readonly clock: Clock
  readonly random: Random
}

/** Whose sessions, and in which tenant: null for every one. */
export interface Whose {
  readonly sub: string
  readonly tenant: string | null
}

export class SessionEndings {
  readonly #options: SessionEndingsOptions

  constructor(options: SessionEndingsOptions) {
    this.#options = options
  }

  /** Ends the session of a cookie. Its id follows from the cookie, so a retry asks again by itself; null for no session. */
  async logout(cookie: string, requestId: string): Promise<Answer | null> {
    const { store, authority, clock } = this.#options
    const hash = cookieHash(cookie)
    if (hash === null) return null
    const id = derivedId('logout', hash)
    const before = await store.revocation(id)
    if (before !== null) return answerOf(before)
    const resolved = await store.resolveSession(hash, clock.now())
    if (resolved === null) return null
    const { handle, sub, tenant, act } = resolved.session
    return authority.end('logout', {
      id,
      request: requestDigest(['logout', handle]),
      initiator: act[0]?.sub ?? sub,
      tenant,
      sub,
      change: { kind: 'session_ended', handle },
      facts: { target: targetOf(resolved.session) },
      requestId,
    })
  }

  /** Ends one expired session. Every sweeper arrives at the same id. */
  expire(session: { handle: string; kind: SessionKind; tenant: string }, expiredBy: number): Promise<Answer> {
    const { handle, tenant } = session
    return this.#options.authority.end('expiry', {
      id: derivedId('expiry', handle),
      request: requestDigest(['expiry', handle]),
      initiator: 'system:sweeper',
      tenant,
      change: { kind: 'session_ended', handle, expiredBy },
      facts: { target: targetOf(session) },
    })
  }

  /** @returns the live sessions of a person, of every kind, newest first. @throws {SESSION_STORE_UNAVAILABLE}. */
  async list({ sub, tenant }: Whose): Promise<readonly Session[]> {
    const { store, clock } = this.#options
    const live = await store.sessionsOf(sub, clock.now())
    return tenant === null ? live : live.filter((session) => session.tenant === tenant)
  }

  /** @returns the live session of that name, null for none. @throws {SESSION_STORE_UNAVAILABLE}. */
  session(handle: string): Promise<Session | null> {
    return this.#options.store.session(handle, this.#options.clock.now())
  }

  /** A person ends one of their sessions. */
  end(sub: string, handle: string, asked: Asked): Promise<Answer> {
    return this.#endOne('session_end', { sub, tenant: null }, handle, asked)
  }

  /** A person ends all their sessions but one. */
  endOthers(sub: string, kept: string, asked: Asked): Promise<Answer> {
    return this.#endAllBut(kept, 'session_end', { sub, tenant: null }, asked)
  }

  /** A person ends everything begun in their name, in every tenant. */
  endAll(sub: string, asked: Asked): Promise<Answer> {
    return this.#endPerson('sessions_end_all', sub, asked)
  }

  /** An administrator or operator ends one session of a person. */
  endByAdministrator(whose: Whose, handle: string, asked: Asked): Promise<Answer> {
    return this.#endOne('session_end_by_administrator', whose, handle, asked)
  }

  /** A person must log in again: everywhere, or wherever they are in one tenant. */
  async forceReauthentication(whose: Whose, asked: Asked): Promise<Answer> {
    if (whose.tenant === null) return this.#endPerson('reauthentication_forced', whose.sub, asked)
    return this.#endAllBut(null, 'reauthentication_forced', whose, asked)
  }

  /** @returns the devices of a person, newest first. @throws {SESSION_STORE_UNAVAILABLE}. */
  devices(sub: string): Promise<readonly Device[]> {
    return this.#options.store.devicesOf(sub)
  }

  /** A person gives a device up: whatever was begun on it ends, and it is not known again. */
  loseDevice(sub: string, device: string, asked: Asked): Promise<Answer> {
    return this.#options.authority.end('device_loss', {
      ...this.#asked(asked),
      request: requestDigest(['device_loss', sub, device]),
      tenant: null,
      sub,
      change: { kind: 'device_lost', sub, device },
      facts: { target: target('device', device) },
    })
  }

  async #endOne(path: EndingPath, whose: Whose, handle: string, asked: Asked): Promise<Answer> {
    const { authority, store } = this.#options
    const run = this.#asked(asked)
    const found = (await this.list(whose)).find((session) => session.handle === handle)
    if (found) {
      return authority.end(path, {
        ...run,
        request: requestDigest([path, whose.sub, handle]),
        tenant: found.tenant,
        sub: whose.sub,
        change: { kind: 'session_ended', handle },
        facts: { target: targetOf(found) },
      })
    }
    // One that this very id ended, asked again because its answer was lost.
    const before = asked.id === null ? null : await store.revocation(asked.id)
    if (before?.request.equals(requestDigest([path, whose.sub, handle]))) return answerOf(before)
    return { state: 'refused', id: idText(run.id), code: 'session_unknown' }
  }

  /** Looks once more after what was there has ended: before, one of those may have begun another. */
  async #endAllBut(kept: string | null, path: EndingPath, whose: Whose, asked: Asked): Promise<Answer> {
    const others = async () => (await this.list(whose)).filter(({ handle }) => handle !== kept)
    const answer = await this.#endSeveral(path, whose, await others(), asked)
    if (answer.state !== 'acknowledged' && answer.state !== 'pending') return answer
    const late = await others()
    if (late.length === 0) return answer
    const again = await this.#endSeveral(path, whose, late, { ...asked, id: null })
    return again.state === 'unknown' || (again.state === 'refused' && again.code !== 'session_unknown') ? again : answer
  }

  async #endSeveral(path: EndingPath, whose: Whose, ending: readonly Session[], asked: Asked): Promise<Answer> {
    const { authority, store } = this.#options
    const run = this.#asked(asked)
    const request = requestDigest([path, whose.sub, whose.tenant])
    const before = asked.id === null ? null : await store.revocation(asked.id)
    if (before?.request.equals(request)) return answerOf(before)
    const [first, ...others] = ending.map(targetOf)
    if (first === undefined) return { state: 'refused', id: idText(run.id), code: 'session_unknown' }
    const change: Change = { kind: 'sessions_ended', handles: ending.map(({ handle }) => handle) }
    return authority.end(path, {
      ...run,
      request,
      tenant: whose.tenant,
      sub: whose.sub,
      change,
      facts: { target: first },
      others,
    })
  }

  #endPerson(path: EndingPath, sub: string, asked: Asked): Promise<Answer> {
    return this.#options.authority.end(path, {
      ...this.#asked(asked),
      request: requestDigest([path, sub]),
      tenant: null,
      change: { kind: 'none' },
      facts: { target: target('subject', sub) },
    })
  }

  #asked({ id, initiator, requestId }: Asked): { id: Buffer; initiator: string; requestId?: string } {
    const fields = { id: id ?? freshId(this.#options.random), initiator }
    return requestId === undefined ? fields : { ...fields, requestId }
  }
}
