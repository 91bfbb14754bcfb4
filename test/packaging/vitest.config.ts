import { resolve } from 'node:path'
import type { ViteUserConfig } from 'vitest/config'
import base from '../../vitest.config.ts'

const { projects: _, ...settings } = base.test ?? {}
const config: ViteUserConfig = {
  ...base,
  root: resolve(import.meta.dirname, '../..'),
  test: { ...settings, include: ['test/packaging/*.e2e.test.ts'], exclude: [], globalSetup: [] },
}

export default config
