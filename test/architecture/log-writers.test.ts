/** Only identity writes signals logs: nothing else in the sources makes records of one, or appends to its topic. */
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'

const root = join(import.meta.dirname, '../..')
const NOT_SHIPPED = /\.test\.ts$|\.bench\.ts$|\/testing[^/]*\.ts$|\/contract\//
const WRITES = /\.append\(\s*(SIGNALS_TOPIC|['"`]countersign\.signals)|(?<!function )\bwriteRecord\(/

function writers(): string[] {
  return globSync('{libs,services}/*/src/**/*.ts', { cwd: root })
    .filter((file) => !NOT_SHIPPED.test(file) && WRITES.test(readFileSync(join(root, file), 'utf8')))
    .sort()
}

test('only identity appends to a signals log', () => {
  const notary = ['notary.ts', 'outbox-keeper.ts'].map((file) => `services/identity/src/notary/${file}`)
  const log = ['outbox.ts', 'replays.ts'].map((file) => `services/identity/src/log/${file}`)
  expect(writers()).toEqual([...log, ...notary])
})
