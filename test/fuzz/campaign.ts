/** Runs many hostile inputs against one parser and keeps the tally; a throw counts as a crash. */
import { randomInt } from 'node:crypto'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { SeededRandom } from '@countersign/kernel/testing'

export interface Tally {
  readonly inputs: number
  /** Verdict codes and how often. */
  readonly verdicts: ReadonlyMap<string, number>
  readonly accepted: readonly string[]
  readonly crashes: readonly string[]
  readonly slowest: { readonly ms: number; readonly input: string }
  /** Growth of the heap and of buffers after a full collection, and at its highest in between. */
  readonly grownMb: number
  readonly peakMb: number
}

/** One hostile input and what to do with it. */
export interface Attempt {
  /** For the report: enough to repeat it by hand. */
  readonly input: Uint8Array
  /** @returns `accepted` or a fault code. */
  run(): string
}

/**
 * @param next makes the next attempt, or null for one that came out unchanged and does not count.
 * @returns after exactly `inputs` attempts that counted.
 */
export function campaign(name: string, inputs: number, next: (random: SeededRandom) => Attempt | null): Tally {
  const seed = Number(process.env.FUZZ_SEED ?? randomInt(2 ** 32))
  const random = new SeededRandom(seed)
  const verdicts = new Map<string, number>()
  const accepted: string[] = []
  const crashes: string[] = []
  const slow: { ms: number; attempt: Attempt }[] = []
  const before = settledBytes()
  let peak = before
  for (let done = 0; done < inputs; ) {
    const attempt = next(random)
    if (attempt === null) continue
    done++
    const start = performance.now()
    let verdict: string
    try {
      verdict = attempt.run()
    } catch (error) {
      verdict = 'crash'
      crashes.push(`${error} on ${hex(attempt.input)}`)
    }
    const ms = performance.now() - start
    if (ms > (slow[7]?.ms ?? 0)) keepSlowest(slow, { ms, attempt })
    if (verdict === 'accepted') accepted.push(hex(attempt.input))
    verdicts.set(verdict, (verdicts.get(verdict) ?? 0) + 1)
    if (done % 1000 === 0) peak = Math.max(peak, liveBytes())
  }
  const tally = {
    inputs,
    verdicts,
    accepted,
    crashes,
    slowest: trulySlowest(slow),
    grownMb: mb(settledBytes() - before),
    peakMb: mb(peak - before),
  }
  report(name, seed, tally)
  return tally
}

function keepSlowest(slow: { ms: number; attempt: Attempt }[], candidate: { ms: number; attempt: Attempt }): void {
  slow.push(candidate)
  slow.sort((a, b) => b.ms - a.ms)
  slow.length = Math.min(slow.length, 8)
}

/** Runs the slowest again and believes the best of ten, so that a busy machine is not taken for a slow parser. */
function trulySlowest(slow: readonly { attempt: Attempt }[]): { ms: number; input: string } {
  let slowest = { ms: 0, input: '' }
  for (const { attempt } of slow) {
    let best = Number.POSITIVE_INFINITY
    for (let i = 0; i < 10; i++) {
      const start = performance.now()
      try {
        attempt.run()
      } catch {
        // Counted as a crash when it ran first.
      }
      best = Math.min(best, performance.now() - start)
    }
    if (best > slowest.ms) slowest = { ms: best, input: hex(attempt.input) }
  }
  return slowest
}

function report(name: string, seed: number, tally: Tally): void {
  const { inputs, verdicts, accepted, crashes, slowest, grownMb, peakMb } = tally
  const codes = [...verdicts].sort((a, b) => b[1] - a[1]).map(([code, count]) => `${code} ${count}`)
  console.log(
    [
      `fuzz ${name}: FUZZ_SEED=${seed}, ${inputs} inputs, ${accepted.length} accepted, ${crashes.length} crashes`,
      `  memory: ${grownMb} MB grown, ${peakMb} MB at most before collection`,
      `  slowest: ${slowest.ms.toFixed(3)} ms (best of ten), ${slowest.input.slice(0, 100)}`,
      `  ${codes.join(', ')}`,
    ].join('\n'),
  )
}

const collect = exposedGc()

function exposedGc(): () => void {
  setFlagsFromString('--expose-gc')
  return runInNewContext('gc') as () => void
}

function settledBytes(): number {
  collect()
  return liveBytes()
}

function liveBytes(): number {
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

function mb(bytes: number): number {
  return Math.round(bytes / 1e5) / 10
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')
}
