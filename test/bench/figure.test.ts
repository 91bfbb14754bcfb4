import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { atLeast, atMost, correct, figure, median } from './figure.ts'

describe('figures', () => {
  test('say whether they keep their goal', () => {
    expect(figure('a', 64.004, 'MB', atMost(64))).toEqual({ id: 'a', value: 64, unit: 'MB', goal: '<= 64', met: false })
    expect(figure('a', 4, 'times', atLeast(4)).met).toBe(true)
    expect(figure('a', 3.9999, 'times', atLeast(4)).met).toBe(false)
    expect(figure('a', 0.012345, 's')).toEqual({ id: 'a', value: 0.01235, unit: 's', goal: null, met: null })
  })

  test('have a middle', () => {
    expect(median([9, 1, 5])).toBe(5)
    expect(median([4, 1, 2, 3])).toBe(2)
  })

  test('are worth nothing when what was measured was wrong', () => {
    expect(() => correct(false, 'digest')).toThrow('wrong result: digest')
  })
})

test('a bench that does not exist is refused with the names of those that do', async () => {
  const args = ['--conditions=@countersign/source', join(import.meta.dirname, 'main.ts'), 'nothing']
  await expect(promisify(execFile)(process.execPath, args)).rejects.toMatchObject({
    code: 2,
    stderr: expect.stringContaining('consume, decide, exposure, gateway, identity, rebuild, view'),
  })
})
