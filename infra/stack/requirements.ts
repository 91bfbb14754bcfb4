/** What a machine needs before it can run the stack, and how to get it. */

import { spawnSync } from 'node:child_process'

interface Requirement {
  readonly command: string
  readonly versionFlag: string
  readonly apt: string
  readonly brew: string
}

const REQUIREMENTS: readonly Requirement[] = [
  { command: 'java', versionFlag: '-version', apt: 'default-jre-headless', brew: 'openjdk' },
  { command: 'redis-server', versionFlag: '--version', apt: 'redis-server', brew: 'redis' },
]
const MAVEN: Requirement = { command: 'mvn', versionFlag: '-v', apt: 'maven', brew: 'maven' }

/** Thrown when commands are missing; the message names each and the command that installs them. */
export class StackRequirementsError extends Error {
  readonly missing: readonly string[]

  constructor(missing: readonly Requirement[], platform: NodeJS.Platform = process.platform) {
    const install =
      platform === 'darwin'
        ? `brew install ${missing.map((one) => one.brew).join(' ')}`
        : `apt-get update && apt-get install -y --no-install-recommends ${missing.map((one) => one.apt).join(' ')}`
    const names = missing.map((one) => one.command)
    super(`this machine lacks ${names.join(', ')}. Install with:\n  ${install}`)
    this.name = 'StackRequirementsError'
    this.missing = names
  }
}

/**
 * Passes when everything is there. Maven counts only while something must be fetched.
 *
 * @throws {StackRequirementsError} naming all that is missing at once.
 */
export function assertRequirements(needsMaven: boolean, exists: (one: Requirement) => boolean = runs): void {
  const missing = [...REQUIREMENTS, ...(needsMaven ? [MAVEN] : [])].filter((one) => !exists(one))
  if (missing.length > 0) throw new StackRequirementsError(missing)
}

function runs(one: Requirement): boolean {
  return spawnSync(one.command, [one.versionFlag], { stdio: 'ignore' }).status === 0
}
