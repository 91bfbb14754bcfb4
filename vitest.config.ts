import { join } from 'node:path'
import type { ViteUserConfig } from 'vitest/config'

// Every worker, thread and program that a test starts reads the same sources: they are compiled once for all.
process.env.NODE_COMPILE_CACHE ??= join(import.meta.dirname, '.cache/compile')

const conditions = ['@countersign/source', 'module', 'node', 'development|production']

const config: ViteUserConfig = {
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: {
    include: ['{schemas,libs,services,test,infra}/**/*.test.ts'],
    exclude: ['**/node_modules/**', '**/dist/**', '**/.dist/**', 'test/packaging/**'],
    globalSetup: ['test/runner/brokers.setup.ts'],
    reporters: ['default', './test/runner/closing-line.ts'],
    execArgv: ['--disable-warning=ExperimentalWarning'],
    testTimeout: 30_000,
    hookTimeout: 60_000,
    // Much of what is tested waits: three share two cores well.
    maxWorkers: 3,
  },
}

export default config
