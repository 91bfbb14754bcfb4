/** From a decoded signal to the facts a view folds. Signature and append time are judged by the caller. */
import type { Signal } from '@countersign/schemas'
import { type Effect, isEffect, isReason, type Reason } from './effects.ts'
import { isTarget, targetKey } from './targets.ts'

/** Highest floor a view can hold: 2⁴⁸ − 1, epoch milliseconds. */
export const MAX_FLOOR: number = 2 ** 48 - 1

/** What a view keeps of a signal. */
export interface SignalFacts {
  /** Target key, 16 bytes. */
  readonly key: Uint8Array
  readonly effect: Effect
  /** Known reason to apply when the effect is not known. */
  readonly fallback: Reason
  /** Versions below it are hit; epoch milliseconds, 1 to 2⁴⁸ − 1. */
  readonly floor: number
}

/** True for a whole number from 1 to 2⁴⁸ − 1. */
export function isFloor(floor: number): boolean {
  return Number.isSafeInteger(floor) && floor > 0 && floor <= MAX_FLOOR
}

/**
 * The facts of a signal. The same for every consumer, so that what is not a signal here is not one anywhere.
 *
 * @returns null when target, effect, fallback or floor is out of its range: then it is not a signal.
 *
 * Cost: about 2 µs.
 */
export function signalFacts(signal: Pick<Signal, 'target' | 'effect' | 'fallback' | 'floor'>): SignalFacts | null {
  const { target, effect, fallback, floor } = signal
  if (!isFloor(floor) || !isTarget(target) || !isEffect(effect) || !isReason(fallback)) return null
  return { key: targetKey(target), effect, fallback, floor }
}
