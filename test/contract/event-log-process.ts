/** Another process on the log under test: `consume` prints what it handles, `append` what was acknowledged. */
import { type EventLog, maxRecordBytes } from '@countersign/event-log'
import { type LogAddress, openLog } from './event-log-address.ts'

const [address, command] = process.argv.slice(2).map((argument) => JSON.parse(argument)) as [LogAddress, Command]

type Command =
  | { do: 'consume'; group: string; topic: string; sessionTimeoutMs: number }
  | { do: 'append'; topic: string; prefix: string; count: number | null }

const log: EventLog = await openLog(address)
if (command.do === 'append') {
  const { topic, prefix, count } = command
  for (let i = 0; count === null || i < count; i++) {
    await log.append(topic, [{ key: null, value: Buffer.from(`${prefix}${i}`), headers: [] }])
    process.stdout.write(`${prefix}${i}\n`)
  }
  await log.close()
} else {
  const { group, topic, sessionTimeoutMs } = command
  const consumer = log.jobs({ group, topics: [topic], sessionTimeoutMs })
  process.on('SIGTERM', () => {
    void consumer
      .stop()
      .then(() => log.close())
      .then(() => process.exit(0))
  })
  await consumer.run({
    eachMessage: async ({ partition, message }) => {
      process.stdout.write(`${partition}:${message.value?.toString().slice(0, maxRecordBytes)}\n`)
    },
  })
  process.stdout.write('ready\n')
}
