/** Reads JSON that came over the network, member by member. Each reader throws {TypeError} unless the value is of its type. */

export type Members = Readonly<Record<string, unknown>>

export function object(value: unknown): Members {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new TypeError()
  return value as Members
}

/** @param most items. @defaultValue 256 */
export function list(value: unknown, most = 256): readonly unknown[] {
  if (!Array.isArray(value) || value.length > most) throw new TypeError()
  return value
}

export function string(value: unknown): string {
  if (typeof value !== 'string' || value.length > 1024) throw new TypeError()
  return value
}

/** Not empty, and every character whole. */
export function text(value: unknown): string {
  if (value === '' || !string(value).isWellFormed()) throw new TypeError()
  return string(value)
}

export function time(value: unknown): number {
  return whole(0, value)
}

/** A safe integer. */
export function whole(least: number, value: unknown): number {
  if (!Number.isSafeInteger(value) || (value as number) < least) throw new TypeError()
  return value as number
}

export function oneOf(names: readonly string[], value: unknown): string {
  if (!names.includes(value as string)) throw new TypeError()
  return value as string
}

export function orNull<T>(read: (value: unknown) => T, value: unknown): T | null {
  return value === null || value === undefined ? null : read(value)
}

/** Own members only: a name such as `constructor` is no claim. */
export function member(of: Members, name: string): unknown {
  return Object.hasOwn(of, name) ? of[name] : undefined
}
