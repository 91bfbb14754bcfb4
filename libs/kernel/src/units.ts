/** Branded units: a number that says what it counts. Built by name, so that no factor is typed by hand. */

declare const unit: unique symbol

/** Milliseconds. */
export type Millis = number & { readonly [unit]?: 'ms' }
/** Bytes. */
export type Bytes = number & { readonly [unit]?: 'B' }

export const millis = (n: number): Millis => n
export const seconds = (n: number): Millis => n * 1_000
export const minutes = (n: number): Millis => n * 60_000
export const hours = (n: number): Millis => n * 3_600_000
export const days = (n: number): Millis => n * 86_400_000
export const bytes = (n: number): Bytes => n
export const kibibytes = (n: number): Bytes => n * 1_024
export const mebibytes = (n: number): Bytes => n * 1_048_576

const DURATIONS: Readonly<Record<string, (n: number) => Millis>> = {
  ms: millis,
  s: seconds,
  m: minutes,
  h: hours,
  d: days,
}
const SIZES: Readonly<Record<string, (n: number) => Bytes>> = { B: bytes, KiB: kibibytes, MiB: mebibytes }

/** @returns milliseconds of `250ms`, `5s`, `3m`, `2h` or `1d`; undefined for anything else, bare numbers included. */
export function parseMillis(text: string): Millis | undefined {
  return parse(text, DURATIONS)
}

/** @returns bytes of `512B`, `16KiB` or `64MiB`; undefined for anything else, bare numbers included. */
export function parseBytes(text: string): Bytes | undefined {
  return parse(text, SIZES)
}

function parse<U extends number>(text: string, units: Readonly<Record<string, (n: number) => U>>): U | undefined {
  const match = /^(\d{1,12})(ms|s|m|h|d|B|KiB|MiB)$/.exec(text)
  const value =
    match && Object.hasOwn(units, match[2] as string) ? units[match[2] as string]?.(Number(match[1])) : undefined
  return value !== undefined && Number.isSafeInteger(value) ? value : undefined
}
