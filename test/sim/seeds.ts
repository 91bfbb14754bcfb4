/** A child of `main.ts`: runs the seeds it is sent, one at a time. */
import { run } from './run.ts'

process.on('message', (seed: number) => {
  run(seed).then(
    (result) => process.send?.(result),
    (error) => {
      console.error(`seed ${seed}:`, error)
      process.exit(1)
    },
  )
})
process.send?.('ready')
