import { FakeClock, SeededRandom } from '@countersign/kernel/testing'
import type { Session, SessionStore } from '@countersign/session-store'
import { expect, it } from 'vitest'
import type { Authority, EndingRun } from '../authority.ts'
import { SessionEndings } from './session-endings.ts'

const session = (handle: string): Session => ({ handle, kind: 'browser', sub: 'sub_1', tenant: 'acme' }) as Session

/** Ends all but `ses_0`, while one of those listed begins another. */
async function ended(act: (endings: SessionEndings) => Promise<unknown>): Promise<readonly EndingRun['change'][]> {
  const live = new Set(['ses_0', 'ses_1'])
  const changes: EndingRun['change'][] = []
  const store = { sessionsOf: async () => [...live].map(session) } as unknown as SessionStore
  const authority = {
    async end(_path: string, { id, change }: EndingRun) {
      changes.push(change)
      if (changes.length === 1) live.add('ses_2')
      if (change.kind === 'sessions_ended') for (const handle of change.handles) live.delete(handle)
      return { state: 'acknowledged', id: id.toString('hex'), seq: 1, position: null }
    },
  } as unknown as Authority
  await act(new SessionEndings({ store, authority, clock: new FakeClock(), random: new SeededRandom(1) }))
  return changes
}

it('ends what one of those begins while they are ended', async () => {
  const asked = { id: null, initiator: 'sub_1' }
  expect(await ended((endings) => endings.endOthers('sub_1', 'ses_0', asked))).toEqual([
    { kind: 'sessions_ended', handles: ['ses_1'] },
    { kind: 'sessions_ended', handles: ['ses_2'] },
  ])
  const whose = { sub: 'sub_1', tenant: 'acme' }
  expect(await ended((endings) => endings.forceReauthentication(whose, asked))).toEqual([
    { kind: 'sessions_ended', handles: ['ses_0', 'ses_1'] },
    { kind: 'sessions_ended', handles: ['ses_2'] },
  ])
})
