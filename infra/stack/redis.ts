/** Redis as a local process, with the settings that identity's store asks for. */

import { mkdirSync } from 'node:fs'
import { connect } from 'node:net'
import { type ProcessIdentity, startDetached } from './process.ts'

export function startRedis(o: {
  port: number
  dir: string
  logFile: string
  /** More settings, or others than these. */
  settings?: Readonly<Record<string, string>>
}): ProcessIdentity {
  mkdirSync(o.dir, { recursive: true })
  const settings = {
    bind: '127.0.0.1',
    port: String(o.port),
    dir: o.dir,
    appendonly: 'yes',
    appendfsync: 'everysec',
    save: '',
    'maxmemory-policy': 'noeviction',
    daemonize: 'no',
    ...o.settings,
  }
  const args = Object.entries(settings).flatMap(([key, value]) => [`--${key}`, value])
  return startDetached('redis-server', args, { cwd: o.dir, logFile: o.logFile })
}

/** Whether it answers PING, so has loaded what it had on disk. */
export function redisReady(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port, timeout: 2_000 })
    const settle = (ready: boolean): void => {
      socket.destroy()
      resolve(ready)
    }
    socket.once('connect', () => socket.write('PING\r\n'))
    socket.once('data', (answer) => settle(answer.toString().startsWith('+PONG')))
    socket.once('error', () => settle(false))
    socket.once('timeout', () => settle(false))
    socket.once('close', () => settle(false))
  })
}
