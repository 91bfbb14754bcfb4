/** What all work of one job class needs, made once. */
import type { Admission } from './admission.ts'
import type { Meters } from './meters.ts'
import type { Settings } from './options.ts'
import type { Recorder } from './record.ts'
import type { RunningWork } from './running.ts'
import type { Waiting } from './waiting.ts'

export interface ClassParts {
  readonly settings: Settings
  readonly running: RunningWork
  readonly admission: Admission
  readonly recorder: Recorder
  readonly meters: Meters
  readonly waiting: Waiting
}
