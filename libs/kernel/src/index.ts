/** Layer 0: what every other package stands on. No I/O. */
export { type Clock, systemClock } from './clock.ts'
export { CountersignError, type ErrorParts, isCountersignError } from './error.ts'
export { newHandle, newId, type Random, systemRandom } from './random.ts'
