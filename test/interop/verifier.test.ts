import { execFileSync, spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { expect, test } from 'vitest'

const go = spawnSync('go', ['version'], { encoding: 'utf8' })
const reason = go.status === 0 ? null : 'no `go` on the path: the foreign verifier is not run'
if (reason !== null) console.log(`interop: ${reason}`)

test.skipIf(reason !== null)(
  'a verifier written in Go from ENVELOPE.md alone agrees on every vector',
  () => {
    const schemas = join(import.meta.dirname, '../../schemas')
    const output = execFileSync('go', ['run', '.', schemas], {
      cwd: join(import.meta.dirname, 'verifier'),
      encoding: 'utf8',
      env: { ...process.env, GOTOOLCHAIN: 'local', GOFLAGS: '-mod=mod', GOPROXY: 'off', CGO_ENABLED: '0' },
    })
    expect(output).toMatch(/^\d{3} passed, 0 failed$/m)
  },
  // Go compiles its own cryptography the first time.
  180_000,
)
