import { mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { missing } from './install.mjs'
import { alone } from './lock.mjs'

const linux = { platform: 'linux', arch: 'x64', libc: 'glibc' }
const a = { version: '1.0.0', integrity: 'sha512-a' }

describe('what has to be installed', () => {
  test('nothing when all is there, workspaces and the root aside', () => {
    const wanted = { '': {}, schemas: {}, 'libs/kernel': {}, 'node_modules/a': a }
    expect(missing(wanted, { 'node_modules/a': a }, linux)).toEqual([])
  })

  test('what is absent, of another version or of other content, nested or not', () => {
    const wanted = { 'node_modules/a': a, 'node_modules/b': a, 'node_modules/c': a, 'libs/x/node_modules/d': a }
    const installed = {
      'node_modules/a': { ...a, version: '1.0.1' },
      'node_modules/b': { ...a, integrity: 'sha512-b' },
    }
    expect(missing(wanted, installed, linux)).toEqual(Object.keys(wanted))
  })

  test('of optional packages only those that name this platform', () => {
    const optional = { ...a, optional: true }
    const wanted = {
      'node_modules/here': { ...optional, os: 'linux', cpu: ['x64'] },
      'node_modules/musl': { ...optional, os: ['linux'], cpu: ['x64'], libc: ['musl'] },
      'node_modules/mac': { ...optional, os: ['darwin'], cpu: ['x64'] },
      'node_modules/not-linux': { ...optional, os: ['!linux'] },
      'node_modules/not-windows': { ...optional, os: ['!win32'] },
      'node_modules/needed-by-another-platform': optional,
    }
    expect(missing(wanted, {}, linux)).toEqual(['node_modules/here', 'node_modules/not-windows'])
  })
})

describe('alone', () => {
  let folder: string
  beforeEach(() => {
    folder = join(mkdtempSync(join(tmpdir(), 'countersign-lock-')), 'lock')
  })
  afterEach(() => rmSync(join(folder, '..'), { recursive: true }))

  test('runs one after the other', async () => {
    let inside = 0
    const work = async (): Promise<number> => {
      inside++
      await new Promise((resolve) => setImmediate(resolve))
      return inside--
    }
    expect(await Promise.all([alone(folder, work), alone(folder, work), alone(folder, work)])).toEqual([1, 1, 1])
  })

  test('lets go when the work fails', async () => {
    await expect(alone(folder, () => Promise.reject(new Error('no')))).rejects.toThrow('no')
    expect(await alone(folder, async () => 'in')).toBe('in')
  })

  test('takes over from an owner that died', async () => {
    mkdirSync(folder)
    writeFileSync(join(folder, 'pid'), '999999999')
    expect(await alone(folder, async () => 'in')).toBe('in')
  })

  test('takes over a lock that was never signed, once it is old', async () => {
    mkdirSync(folder)
    utimesSync(folder, 0, 0)
    expect(await alone(folder, async () => 'in')).toBe('in')
  })
})
