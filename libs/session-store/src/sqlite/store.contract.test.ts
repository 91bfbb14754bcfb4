import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { sessionStoreContract } from '../contract.ts'
import { openSqliteStore } from './index.ts'

sessionStoreContract({
  name: 'sqlite',
  create: async () => {
    const folder = await mkdtemp(join(tmpdir(), 'countersign-store-'))
    const path = join(folder, 'identity.db')
    return {
      open: (seal) => openSqliteStore({ path, seal }),
      rewrite: async (key, change) => {
        const file = new DatabaseSync(path)
        const { value } = file.prepare('SELECT value FROM record WHERE key = ?').get(key) as { value: string }
        file.prepare('UPDATE record SET value = ? WHERE key = ?').run(change(value), key)
        file.close()
      },
      destroy: () => rm(folder, { recursive: true, force: true }),
    }
  },
})
