export interface LockedPackage {
  readonly version?: string
  readonly integrity?: string
  readonly optional?: boolean
  readonly os?: string | readonly string[]
  readonly cpu?: string | readonly string[]
  readonly libc?: string | readonly string[]
}

export interface Machine {
  readonly platform: string
  readonly arch: string
  readonly libc: string | null
}

export function missing(
  wanted: Record<string, LockedPackage>,
  installed: Record<string, LockedPackage>,
  machine: Machine,
): string[]
