/** Free loopback ports, taken from below the range that systems hand out to outgoing connections. */

import { randomInt } from 'node:crypto'
import { createServer } from 'node:net'

const LOWEST = 15_000
const HIGHEST = 30_000

/**
 * Ports that nothing listened on a moment ago, all different.
 *
 * A killed broker must come back on its own port. One from the ephemeral range could meanwhile serve as the local end
 * of some client's connection, even of a client that keeps dialling that broker.
 */
export async function freePorts(count: number): Promise<number[]> {
  const ports = new Set<number>()
  while (ports.size < count) {
    const port = randomInt(LOWEST, HIGHEST)
    if (await isFree(port)) ports.add(port)
  }
  return [...ports]
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}
