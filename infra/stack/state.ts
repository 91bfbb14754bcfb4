/** What the running stack is, kept in one file of its folder so that any later command or test can find it. */

import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { ProcessIdentity } from './process.ts'

/** One process of the stack; `process` is null while it is stopped or killed. */
export interface Member {
  readonly address: string
  readonly process: ProcessIdentity | null
}

export interface BrokerMember extends Member {
  /** `node.id`, from 1. */
  readonly id: number
  readonly controllerPort: number
}

export interface StackState {
  /** KRaft's name of the cluster, 22 characters of base64. */
  readonly clusterId: string
  readonly brokers: readonly BrokerMember[]
  /** Base URL of the Confluent-compatible API. */
  readonly registryUrl: string
  readonly registry: Member
  readonly redisUrl: string
  readonly redis: Member
}

/** `.stack` of the project, unless the environment names another folder. */
export function defaultStackDir(): string {
  return process.env.STACK_DIR
    ? resolve(process.env.STACK_DIR)
    : resolve(dirname(fileURLToPath(import.meta.url)), '../../.stack')
}

const stateFile = (dir: string): string => join(dir, 'state.json')

/** The recorded state, or null where no stack was started. It says what was started, not what still lives. */
export function readState(dir: string): StackState | null {
  try {
    return JSON.parse(readFileSync(stateFile(dir), 'utf8')) as StackState
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}

/** Replaces the state in one step: a reader sees the old or the new, never half. */
export function writeState(dir: string, state: StackState): void {
  mkdirSync(dir, { recursive: true })
  const next = `${stateFile(dir)}.${process.pid}`
  writeFileSync(next, `${JSON.stringify(state, null, 2)}\n`)
  renameSync(next, stateFile(dir))
}

export function forgetState(dir: string): void {
  rmSync(stateFile(dir), { force: true })
}
