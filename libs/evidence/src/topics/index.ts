export { type Difference, differences } from './drift.ts'
