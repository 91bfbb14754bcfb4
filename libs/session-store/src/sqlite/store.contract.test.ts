import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sessionStoreContract } from '../contract.ts'
import { openSqliteStore } from './index.ts'

sessionStoreContract({
  name: 'sqlite',
  create: async () => {
    const folder = await mkdtemp(join(tmpdir(), 'countersign-store-'))
    const path = join(folder, 'identity.db')
    return {
      open: (seal) => openSqliteStore({ path, seal }),
      destroy: () => rm(folder, { recursive: true, force: true }),
    }
  },
})
