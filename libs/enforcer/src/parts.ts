/** What all work of one job class needs, made once. */
import type { Admission } from './admission.ts'
import type { Meters } from './meters.ts'
import type { Settings } from './options.ts'
import type { Recorder } from './record.ts'
import type { RunningWork } from './running.ts'
import type { Waiting } from './waiting.ts'

/** What attempts of one job class need. */
export interface AttemptParts {
  readonly settings: Settings
  readonly admission: Admission
  readonly running: RunningWork
  readonly meters: Meters
}

export interface ClassParts extends AttemptParts {
  readonly recorder: Recorder
  readonly waiting: Waiting
}
