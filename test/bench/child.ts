/** Measurements run in processes of their own, so that one does not warm, fill or fragment the next. */
import { execFileSync, spawn } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'

/** How a measurement is run. */
export interface ChildOptions {
  /** Strings the module finds in `process.argv` from 2 on. */
  readonly args?: readonly string[]
  /** Core to stay on, where the system can; none by default. */
  readonly core?: number
}

/**
 * Runs a module that prints its result as JSON in its last line.
 *
 * @param module path beside this file.
 * @throws when it fails: its stderr has been passed on.
 */
export async function inChild<T>(module: string, options: ChildOptions = {}): Promise<T> {
  const node = [
    process.execPath,
    '--conditions=@countersign/source',
    '--disable-warning=ExperimentalWarning',
    '--expose-gc',
    fileURLToPath(new URL(module, import.meta.url)),
    ...(options.args ?? []),
  ]
  const [command = '', ...args] = [...pinned(options.core), ...node]
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  let out = ''
  child.stdout.on('data', (bytes: Buffer) => {
    out += bytes.toString('utf8')
  })
  const code = await new Promise<number | null>((resolve, reject) => child.on('error', reject).on('close', resolve))
  if (code !== 0) throw new Error(`${module} ended with ${code}`)
  return JSON.parse(out.trimEnd().split('\n').at(-1) ?? '') as T
}

/** @returns the command that keeps a process on a core; empty where there is none, or only one core. */
export function pinned(core: number | undefined): readonly string[] {
  if (core === undefined || core >= availableParallelism() || availableParallelism() < 2) return []
  try {
    execFileSync('taskset', ['--version'], { stdio: 'ignore' })
    return ['taskset', '-c', String(core)]
  } catch {
    return []
  }
}

/** Prints a result for `inChild`. */
export function answer(result: unknown): void {
  process.stdout.write(`${JSON.stringify(result)}\n`)
}
