import { resolve } from 'node:path'
import type { ViteUserConfig } from 'vitest/config'
import base from '../../vitest.config.ts'

const config: ViteUserConfig = {
  ...base,
  root: resolve(import.meta.dirname, '../..'),
  test: { ...base.test, include: ['test/packaging/*.e2e.test.ts'], exclude: [], globalSetup: [] },
}

export default config
