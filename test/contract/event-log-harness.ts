/** The parts of the contract harness that are the same for every adapter: other processes. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { ContractHarness, MemberProcess } from '@countersign/event-log/contract'
import { type LogAddress, openLog } from './event-log-address.ts'

const SCRIPT = new URL('./event-log-process.ts', import.meta.url).pathname

export function processHarness(
  address: LogAddress,
): Pick<ContractHarness, 'open' | 'startMember' | 'appendElsewhere' | 'startAppender'> {
  return {
    open: () => openLog(address),
    async startMember(options): Promise<MemberProcess> {
      const child = start(address, { do: 'consume', ...options })
      const handled: string[] = []
      await new Promise<void>((resolve, reject) => {
        child.once('exit', () => reject(new Error('the member ended before it was ready')))
        createInterface({ input: child.stdout! }).on('line', (line) => {
          if (line === 'ready') resolve()
          else handled.push(line)
        })
      })
      return {
        handled,
        kill: () => void child.kill('SIGKILL'),
        async stop() {
          if (child.exitCode !== null || child.signalCode !== null) return
          child.kill('SIGTERM')
          await once(child, 'exit')
        },
      }
    },
    async startAppender(options) {
      const child = start(address, { do: 'append', ...options, count: null })
      const acknowledged: string[] = []
      createInterface({ input: child.stdout! }).on('line', (line) => acknowledged.push(line))
      return {
        acknowledged,
        async kill() {
          if (child.exitCode !== null || child.signalCode !== null) return
          child.kill('SIGKILL')
          await once(child, 'close')
        },
      }
    },
    async appendElsewhere(options) {
      const child = start(address, { do: 'append', ...options })
      child.stdout!.resume()
      const [code] = (await once(child, 'exit')) as [number | null]
      if (code !== 0) throw new Error(`the appending process ended with ${code}`)
    },
  }
}

function start(address: LogAddress, command: object): ChildProcess {
  return spawn(
    process.execPath,
    [
      '--conditions=@countersign/source',
      '--disable-warning=ExperimentalWarning',
      SCRIPT,
      JSON.stringify(address),
      JSON.stringify(command),
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  )
}
