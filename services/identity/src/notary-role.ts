/** The notary role: writes checkpoints, holds the root key. */
import type { Readiness } from '@countersign/host'
import { readGrants, readSigningKey } from './key-files.ts'
import { bundleSource } from './log/bundle.ts'
import { Notary } from './notary/index.ts'
import type { Closers, Parts } from './parts.ts'

/** Starts the notary. @returns what `/readyz` asks: ready once it has read the log, holding or standing by. */
export async function startNotaryRole(parts: Parts, closers: Closers): Promise<() => Readiness> {
  const { config, store } = parts
  const { keysDir, checkpointKey, notaryId, checkpointInterval: intervalMs, epsilon: epsilonMs } = config
  const terms = { windowMs: config.window, maxStalenessMs: config.maxStaleness, checkpointIntervalMs: intervalMs }
  const rootKey = readSigningKey(keysDir, 'root')
  const notary = new Notary({
    ...parts,
    bundles: bundleSource({ store, rootKey, grants: () => readGrants(keysDir), terms }),
    checkpointKey: readSigningKey(keysDir, checkpointKey),
    notaryId,
    intervalMs,
    epsilonMs,
  })
  closers.push(() => notary.stop())
  await notary.start()
  return () => (notary.status().role === 'starting' ? { ready: false, reasons: ['notary_starting'] } : { ready: true })
}
