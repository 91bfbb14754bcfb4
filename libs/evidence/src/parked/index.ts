export { type ParkedList, type ParkedSelection, type ParkedWork, parkedWork, type WorkState } from './parked-work.ts'
export { planRedrive, type RedrivePlan, type RedriveStep } from './plan.ts'
export { type Redriven, type RedriveOptions, type RedriveOutcome, redrive } from './redrive.ts'
