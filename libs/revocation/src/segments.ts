/**
 * Index and filter of a view are cut into segments by the first bits of the target key, and each grows by itself, in
 * its place: no call waits for more than one to grow, and nothing is there twice meanwhile.
 *
 * They are part of a SHA-256, so segments fill evenly. Somebody who searched for names of one kind would make one
 * segment long, which costs that one its slowness to grow and nothing else: within it the hash is keyed.
 */
export const SEGMENTS = 256

/** @returns 0 to `SEGMENTS` − 1. */
export function segmentOf(key: Uint8Array): number {
  return (key[0] as number) & (SEGMENTS - 1)
}

/** @returns what a segment should be made for when all of them together are to hold `total` keys. */
export function shareOf(total: number): number {
  const mean = total / SEGMENTS
  // Four deviations of chance above the mean: hardly any segment has to grow.
  return Math.ceil(mean + 4 * Math.sqrt(mean))
}
