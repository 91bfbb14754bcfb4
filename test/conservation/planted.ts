/** Faults planted one at a time in the enforcer that ships, to prove that the runs and their checker would see them. */
import type { SourceEdit } from '../identity/edited-source.ts'

export interface Planted {
  readonly name: string
  readonly edits: readonly SourceEdit[]
}

const FOLDER = 'libs/enforcer/src'

export const PLANTED: readonly Planted[] = [
  {
    name: 'run before the admission is recorded',
    edits: [
      {
        file: `${FOLDER}/ledger.ts`,
        find: "await this.#append('admitted', items, giveUp)",
        replace: "void this.#append('admitted', items, giveUp).catch(() => {})",
      },
    ],
  },
  {
    name: 'resolve the offset before the record',
    edits: [
      {
        file: `${FOLDER}/ledger.ts`,
        find: "await this.#append('final', ready)",
        replace: "void this.#append('final', ready).catch(() => {})",
      },
    ],
  },
]
