/** Only identity writes the signals log: nothing else in the sources appends to its topic. */
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'

const root = join(import.meta.dirname, '../..')
const NOT_SHIPPED = /\.test\.ts$|\.bench\.ts$|\/testing[^/]*\.ts$|\/contract\//
const WRITES = /\.append\(\s*(SIGNALS_TOPIC|['"`]countersign\.signals)/

function writers(): string[] {
  return globSync('{libs,services}/*/src/**/*.ts', { cwd: root })
    .filter((file) => !NOT_SHIPPED.test(file) && WRITES.test(readFileSync(join(root, file), 'utf8')))
    .sort()
}

test('only identity appends to the signals log', () => {
  expect(writers()).toEqual(['services/identity/src/log/outbox.ts', 'services/identity/src/notary/notary.ts'])
})
