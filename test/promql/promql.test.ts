import { describe, expect, test } from 'vitest'
import { evaluate } from './evaluate.ts'
import { SeriesStore } from './series.ts'
import { durationMs, parse } from './syntax.ts'

const MINUTE = 60_000
const target = { job: 'j', instance: 'i' }

/** A scrape each ten seconds, from nought. */
function scraped(...pages: readonly (string | null)[]): SeriesStore {
  const store = new SeriesStore()
  for (const [i, page] of pages.entries()) store.scrape(target, page, i * 10_000)
  return store
}
const ask = (store: SeriesStore, text: string, at = MINUTE): unknown => evaluate(parse(text), store, at)
const values = (found: unknown): number[] => (found as { value: number }[]).map(({ value }) => value)
const rising = (by: number): string[] => Array.from({ length: 7 }, (_, i) => `n{a="x"} ${i * by}\nn{a="y"} 5\n`)

describe('an expression', () => {
  test('selects by every matcher, now and earlier, until its target is silent', () => {
    const store = scraped(...rising(1))
    expect(ask(store, 'n')).toHaveLength(2)
    expect(values(ask(store, 'n{a!="y"}'))).toEqual([6])
    expect(values(ask(store, 'n{a=~"x|z"} offset 20s'))).toEqual([4])
    expect(ask(store, 'n{a!~"x|y"}')).toEqual([])
    expect(ask(store, 'n', 7 * MINUTE)).toEqual([])
    const ended = scraped('n 1\n', null)
    expect([ask(ended, 'n', 15_000), values(ask(ended, 'up', 15_000))]).toEqual([[], [0]])
  })

  test('tells rates by the second, over resets, and guesses to the bounds of the range', () => {
    // Six samples within the last minute, fifty seconds apart; the range is a minute.
    expect(values(ask(scraped(...rising(6)), 'rate(n{a="x"}[1m])'))[0]).toBeCloseTo(0.6)
    expect(values(ask(scraped(...rising(6)), 'increase(n{a="x"}[1m])'))[0]).toBeCloseTo(36)
    const reset = scraped(...['n 10', 'n 20', 'n 3', 'n 5', 'n 5', 'n 5', 'n 5'].map((line) => `${line}\n`))
    expect(values(ask(reset, 'resets(n[2m])'))).toEqual([1])
    expect(values(ask(reset, 'increase(n[1m])'))[0]).toBeCloseTo(5 * (60 / 50))
    expect(ask(scraped('n 1\n'), 'rate(n[1m])', 0)).toEqual([])
  })

  test('tells quantiles of histograms between the bounds of a bucket', () => {
    const page = 'h_bucket{le="1"} 50\nh_bucket{le="2"} 100\nh_bucket{le="+Inf"} 100\n'
    expect(values(ask(scraped(page), 'histogram_quantile(0.75, h_bucket)'))).toEqual([1.5])
    expect(values(ask(scraped(page), 'histogram_quantile(1, h_bucket)'))).toEqual([2])
    const none = 'h_bucket{le="1"} 0\nh_bucket{le="+Inf"} 0\n'
    expect(values(ask(scraped(none), 'histogram_quantile(0.9, h_bucket)'))).toEqual([Number.NaN])
  })

  test('joins, filters and gathers as Prometheus does', () => {
    const store = scraped(...rising(1))
    expect(ask(store, 'sum by (job) (n)')).toEqual([{ labels: { job: 'j' }, value: 11 }])
    expect(ask(store, 'max without (a, instance) (n)')).toEqual([{ labels: { job: 'j' }, value: 6 }])
    expect(values(ask(store, 'n > 5 or n{a="y"}'))).toEqual([6, 5])
    expect(values(ask(store, 'n unless on (a) n{a="x"}'))).toEqual([5])
    expect(values(ask(store, 'n / on (instance) group_left up'))).toEqual([6, 5])
    expect(values(ask(store, 'n > bool 5'))).toEqual([1, 0])
    expect(ask(store, 'absent(m{a="x"})')).toEqual([{ labels: { a: 'x' }, value: 1 }])
    expect(ask(store, '2 + 3 * -1')).toBe(-1)
  })

  test.each([
    ['n{', 'not PromQL'],
    ['topk(3, n)', 'one argument'],
    ['predict_linear(n[1m], 60)', 'unknown function'],
    ['rate(n)', 'wants a range'],
    ['n[1m]', 'a range stands only in a function'],
    ['n + on (job) n', 'many-to-many'],
    ['max_over_time(n[5m:1m])', 'not known here'],
  ])('%s is refused, not guessed', (text, why) => {
    expect(() => ask(scraped(...rising(1)), text)).toThrow(why)
  })

  test('durations add up, and nothing else is one', () => {
    expect(durationMs('1h30m')).toBe(90 * MINUTE)
    for (const text of ['', '5', 'm', '1.5h']) expect(() => durationMs(text)).toThrow('no duration')
  })
})
