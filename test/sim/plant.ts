/** Preloaded with `--import`: applies the planted fault that `SIM_PLANTED` names while modules load. */
import { registerHooks } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { PLANTED, plant } from './planted.ts'

const planted = PLANTED.find((p) => p.name === process.env.SIM_PLANTED)
if (!planted) throw new Error(`no planted fault is called ${process.env.SIM_PLANTED}`)
const place = pathToFileURL(join(import.meta.dirname, '../..', planted.file)).href

registerHooks({
  load(url, context, next) {
    const loaded = next(url, context)
    if (url !== place || !loaded.source) return loaded
    return { ...loaded, source: plant(String(loaded.source), planted) }
  },
})
