/** Starting, recognising and ending the stack's processes. A pid alone names nobody: it may have been given anew. */

import { execFileSync, spawn } from 'node:child_process'
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

/** A process as it can be told from any later one with the same pid. */
export interface ProcessIdentity {
  readonly pid: number
  /** As the system reports it: clock ticks since boot on Linux, a date elsewhere. */
  readonly startedAt: string
}

/** When the process began, or null when there is none or it is a zombie. */
function startOf(pid: number): string | null {
  if (existsSync('/proc/self/stat')) {
    try {
      // The name in field 2 may hold spaces and brackets; the fields after its last bracket are plain.
      const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
        .replace(/^.*\) /s, '')
        .split(' ')
      return fields[0] === 'Z' ? null : (fields[19] ?? null)
    } catch {
      return null
    }
  }
  try {
    return execFileSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8' }).trim() || null
  } catch {
    return null
  }
}

/** Whether exactly this process still runs. */
export function isAlive(identity: ProcessIdentity | null): boolean {
  return identity !== null && startOf(identity.pid) === identity.startedAt
}

/** Starts a process that outlives this one, its output appended to `logFile`. */
export function startDetached(command: string, args: readonly string[], o: DetachedOptions): ProcessIdentity {
  const log = openSync(o.logFile, 'a')
  try {
    const child = spawn(command, args, {
      detached: true,
      stdio: ['ignore', log, log],
      cwd: o.cwd,
      env: { ...process.env, ...o.env },
    })
    child.on('error', () => {}) // a missing command is reported below: it has no pid
    child.unref()
    if (child.pid === undefined) throw new Error(`${command} could not be started`)
    return { pid: child.pid, startedAt: startOf(child.pid) ?? 'gone' }
  } finally {
    closeSync(log)
  }
}

export interface DetachedOptions {
  readonly logFile: string
  readonly cwd: string
  readonly env?: NodeJS.ProcessEnv
}

/** Ends exactly this process with SIGKILL and waits until it is gone; nothing happens when it is gone already. */
export async function kill(identity: ProcessIdentity | null): Promise<void> {
  while (identity !== null && isAlive(identity)) {
    try {
      process.kill(identity.pid, 'SIGKILL')
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
    }
    await sleep(20)
  }
}
