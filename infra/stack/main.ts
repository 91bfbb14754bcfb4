/** `npm run stack -- up|status|down [--brokers 3] [--dir D] [--json]` */

import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { down, type Stack, status, up } from './index.ts'

const USAGE = `npm run stack -- up [--brokers 1|3]   start Kafka, the schema registry and Redis; nothing new if they run
npm run stack -- status               what runs, where
npm run stack -- down                 end them and delete their data

  --dir D   folder of state, data and logs (default .stack)
  --json    one JSON object on stdout instead of text`

const say = (line: string): void => void process.stderr.write(`${line}\n`)

function print(stack: Stack, json: boolean): void {
  if (json) {
    console.log(JSON.stringify(stack))
    return
  }
  console.log(`kafka     ${stack.brokers.join(',')}`)
  console.log(`registry  ${stack.registryUrl}`)
  console.log(`redis     ${stack.redisUrl}`)
  console.log(`data      ${stack.dir}`)
}

async function main(): Promise<number> {
  const { positionals, values } = parseArgs({
    allowPositionals: true,
    options: {
      brokers: { type: 'string' },
      dir: { type: 'string' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  })
  const [command, ...rest] = positionals
  if (values.help) {
    console.log(USAGE)
    return 0
  }
  const place = { say, ...(values.dir === undefined ? {} : { dir: resolve(values.dir) }) }
  if (rest.length === 0 && command === 'up') {
    const began = performance.now()
    const stack = await up({ ...place, ...(values.brokers === undefined ? {} : { brokers: Number(values.brokers) }) })
    say(`up after ${((performance.now() - began) / 1000).toFixed(1)} s; end it with: npm run stack -- down`)
    print(stack, values.json)
    return 0
  }
  if (rest.length === 0 && command === 'status') {
    const found = status(place)
    const running = found?.members.every((member) => member.alive) ?? false
    if (values.json) console.log(JSON.stringify({ running, ...found }))
    else if (found === null) console.log('down')
    else {
      print(found, false)
      for (const { name, address, pid, alive } of found.members) {
        console.log(`${name.padEnd(10)}${address.padEnd(17)}${alive ? `running, pid ${pid}` : 'not running'}`)
      }
    }
    return running ? 0 : 1
  }
  if (rest.length === 0 && command === 'down') {
    const ended = await down(place)
    if (values.json) console.log(JSON.stringify({ ended }))
    else console.log(ended === 0 ? 'nothing was running' : `ended ${ended} processes and deleted their data`)
    return 0
  }
  say(USAGE)
  return 2
}

try {
  process.exitCode = await main()
} catch (error) {
  say(`stack: ${(error as Error).message}`)
  // What the command line was refused with.
  process.exitCode = error instanceof TypeError ? 2 : 1
}
