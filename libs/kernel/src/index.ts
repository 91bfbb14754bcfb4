/** Layer 0: what every other package stands on. */
export { type Clock, systemClock } from './clock.ts'
export { ConfigError, describeConfig, envKey, field, type LoadConfigOptions, loadConfig } from './config.ts'
export { CountersignError, type ErrorParts, isCountersignError } from './error.ts'
export { newHandle, newId, type Random, systemRandom } from './random.ts'
export { rfc3339 } from './rfc3339.ts'
export { Secret } from './secret.ts'
export {
  type Bytes,
  bytes,
  days,
  hours,
  kibibytes,
  type Millis,
  mebibytes,
  millis,
  minutes,
  parseBytes,
  parseMillis,
  seconds,
} from './units.ts'
