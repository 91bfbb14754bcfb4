/**
 * Credentials found good a short while ago. Invariants: what is kept is found again by the whole credential and its kind
 * alone; nothing is kept of a refusal; and what is found is not an answer yet, for whoever finds it judges it anew.
 */
import { hash } from 'node:crypto'
import type { Clock } from '@countersign/kernel'
import type { Presented } from './presented.ts'

export interface RememberOptions {
  /** The oldest goes first. @defaultValue 10000 */
  readonly maxEntries?: number
  /** Milliseconds. @defaultValue 30000 */
  readonly maxAgeMs?: number
}

interface Entry {
  readonly presented: Presented
  /** Monotonic milliseconds. */
  readonly keptAt: number
  /** Epoch milliseconds. */
  readonly until: number
}

export class Remembered {
  readonly #clock: Clock
  readonly #maxEntries: number
  readonly #maxAgeMs: number
  readonly #entries = new Map<string, Entry>()

  constructor(clock: Clock, { maxEntries = 10_000, maxAgeMs = 30_000 }: RememberOptions) {
    this.#clock = clock
    this.#maxEntries = maxEntries
    this.#maxAgeMs = maxAgeMs
  }

  /** @returns what a credential is kept under: SHA-256, so that no part of it decides alone and none of it is kept. */
  keyOf(kind: string, credential: string): string {
    return hash('sha256', `countersign.remembered.v1\0${kind}\0${credential}`, 'base64')
  }

  find(key: string): Presented | undefined {
    const entry = this.#entries.get(key)
    if (entry === undefined) return undefined
    const { presented, keptAt, until } = entry
    if (this.#clock.monotonic() - keptAt < this.#maxAgeMs && this.#clock.now() < until) return presented
    this.#entries.delete(key)
    return undefined
  }

  /** @param until not found from then on, epoch milliseconds. */
  keep(key: string, presented: Presented, until: number): void {
    // Deleted first: what is kept anew is the youngest again.
    this.#entries.delete(key)
    if (this.#entries.size >= this.#maxEntries) {
      for (const oldest of this.#entries.keys()) {
        this.#entries.delete(oldest)
        break
      }
    }
    this.#entries.set(key, { presented, keptAt: this.#clock.monotonic(), until })
  }

  forget(key: string): void {
    this.#entries.delete(key)
  }

  get size(): number {
    return this.#entries.size
  }
}
