import { mkdtempSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { exampleCatalogue as catalogue } from '@countersign/schemas'
import { expect, it, onTestFinished } from 'vitest'
import { openLog } from './open.ts'

const isLoaded = (name: string): boolean =>
  Object.keys(createRequire(import.meta.url).cache).some((path) => path.includes(`/node_modules/${name}/`))

it('opens the embedded log without loading what only Kafka needs, and Kafka when brokers are named', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'countersign-open-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  const log = await openLog({ logPath: join(folder, 'log.db') }, { catalogue, clientId: 'test' })
  const topic = 'invoices.export.v1'
  const [placed] = await log.append(topic, [{ key: null, value: Buffer.from('a'), headers: [] }])
  expect(placed?.offset).toBe(0)
  await log.close()
  expect(isLoaded('kafkajs')).toBe(false)
  const nowhere = { kafkaBrokers: ['127.0.0.1:1'], registryUrl: 'not an address' }
  await expect(openLog(nowhere, { catalogue, clientId: 'test' })).rejects.toThrow()
  expect(isLoaded('kafkajs')).toBe(true)
})
