/** Ends every run with `N passed, N failed` alone on the last line, whatever else went wrong before it. */

import { writeSync } from 'node:fs'
import type { SerializedError } from 'vitest'
import type { Reporter, TestModule } from 'vitest/node'

export default class ClosingLine implements Reporter {
  #passed = 0
  #failed = 0

  onInit(): void {
    // At exit, because Vitest may still print after the last reporter has spoken.
    process.once('exit', (code) => {
      // A run that could not begin, or fell over beside its tests, must not read as a clean one.
      const failed = code !== 0 && this.#failed === 0 ? 1 : this.#failed
      writeSync(1, `${this.#passed} passed, ${failed} failed\n`)
    })
  }

  onTestRunEnd(modules: readonly TestModule[], unhandled: readonly SerializedError[]): void {
    this.#passed = 0
    this.#failed = unhandled.length
    for (const module of modules) {
      let failedHere = 0
      for (const test of module.children.allTests()) {
        const { state } = test.result()
        if (state === 'passed') this.#passed++
        if (state === 'failed') failedHere++
      }
      // A file that did not load, or whose hooks failed, counts once although none of its tests says so.
      this.#failed += failedHere === 0 && module.state() === 'failed' ? 1 : failedHere
    }
  }
}
