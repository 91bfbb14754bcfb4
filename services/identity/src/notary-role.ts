/** The notary role: writes checkpoints, holds the root key. */
import type { Readiness } from '@countersign/host'
import { signerTarget } from '@countersign/revocation'
import { MAIN_LOG } from '@countersign/schemas'
import { readGrants, readSigningKey } from './key-files.ts'
import { bundleSource, grantsOf } from './log/bundle.ts'
import { Notary } from './notary/index.ts'
import { type Closers, logsOf, type Parts } from './parts.ts'

/** Starts a notary for each log this process is to write checkpoints of. @returns what `/readyz` asks: ready once all have read theirs, holding or standing by. */
export async function startNotaryRole(parts: Parts, closers: Closers): Promise<() => Readiness> {
  const { config } = parts
  const { keysDir, checkpointKey, notaryId, checkpointInterval: intervalMs, epsilon: epsilonMs } = config
  const terms = { windowMs: config.window, maxStalenessMs: config.maxStaleness, checkpointIntervalMs: intervalMs }
  const rootKey = readSigningKey(keysDir, 'root')
  const notaries: Notary[] = []
  for (const { topic, tenants, ...of } of logsOf(parts)) {
    if (config.notaryLogs?.includes(of.logName ?? MAIN_LOG) === false) continue
    const notary = new Notary({
      ...parts,
      ...of,
      topic,
      bundles: bundleSource({
        store: of.store,
        rootKey,
        givenUp: async (key) => ((await parts.store.target(signerTarget(key)))?.endedBelow ?? 0) > 0,
        grants: () => grantsOf(readGrants(keysDir), tenants),
        terms,
      }),
      checkpointKey: readSigningKey(keysDir, checkpointKey),
      notaryId,
      intervalMs,
      epsilonMs,
    })
    closers.push(() => notary.stop())
    await notary.start()
    notaries.push(notary)
  }
  const starting = (): boolean => notaries.some((notary) => notary.status().role === 'starting')
  return () => (starting() ? { ready: false, reasons: ['notary_starting'] } : { ready: true })
}
