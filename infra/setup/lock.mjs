// One at a time among all processes of this machine, by a folder that only one of them can make.

import { mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

/** Runs `work` while no other process holds `folder`; a lock whose owner died is taken over. */
export async function alone(folder, work, onWait = () => {}) {
  mkdirSync(dirname(folder), { recursive: true })
  for (let told = false; !take(folder); ) {
    if (!ownerLives(folder)) {
      rmSync(folder, { recursive: true, force: true })
      continue
    }
    if (!told) onWait()
    told = true
    await sleep(200)
  }
  try {
    return await work()
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

function take(folder) {
  try {
    mkdirSync(folder)
  } catch (error) {
    if (error.code === 'EEXIST') return false
    throw error
  }
  writeFileSync(join(folder, 'pid'), String(process.pid))
  return true
}

function ownerLives(folder) {
  try {
    process.kill(Number(readFileSync(join(folder, 'pid'), 'utf8')), 0)
    return true
  } catch (error) {
    if (error.code === 'EPERM') return true
    if (error.code !== 'ENOENT') return false
  }
  // Made this moment and not yet signed, or its owner died in between: only the age of the folder can tell.
  try {
    return Date.now() - statSync(folder).mtimeMs < 5_000
  } catch {
    return false
  }
}
