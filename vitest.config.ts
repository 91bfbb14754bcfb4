import { join } from 'node:path'
import type { ViteUserConfig } from 'vitest/config'

// Every worker, thread and program that a test starts reads the same sources: they are compiled once for all.
process.env.NODE_COMPILE_CACHE ??= join(import.meta.dirname, '.cache/compile')

const conditions = ['@countersign/source', 'module', 'node', 'development|production']

/** Of whole services, of adapters and of what spans packages: the longest, so they begin first. The last asks what is loaded. */
const WORLDS = ['test/**/*.test.ts', '**/*.{e2e,contract}.test.ts', 'libs/event-log/src/open.test.ts']
const NEVER = ['**/node_modules/**', '**/dist/**', '**/.dist/**', 'test/packaging/**']

const config: ViteUserConfig = {
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: {
    globalSetup: ['test/runner/brokers.setup.ts'],
    reporters: ['default', './test/runner/closing-line.ts'],
    execArgv: ['--disable-warning=ExperimentalWarning'],
    testTimeout: 30_000,
    hookTimeout: 60_000,
    // Much of what is tested waits: four share two cores well.
    maxWorkers: 4,
    // In the order of their names.
    projects: [
      { extends: true, test: { name: 'apart', include: WORLDS, exclude: NEVER } },
      {
        extends: true,
        // Reading the sources is most of what such a file costs: one reading does for all files of a worker.
        test: {
          name: 'together',
          include: ['{schemas,libs,services,infra}/**/*.test.ts'],
          exclude: [...NEVER, ...WORLDS],
          isolate: false,
        },
      },
    ],
  },
}

export default config
