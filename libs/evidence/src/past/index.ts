export { type Moment, Past } from './past.ts'
export { Pasts } from './pasts.ts'
