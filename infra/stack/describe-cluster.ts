/** Asks a broker which brokers of its cluster serve now: Kafka's DescribeCluster request, version 0, and no client. */

import { connect } from 'node:net'

const DESCRIBE_CLUSTER = 60
const CORRELATION = 1

/**
 * Ids of the brokers that are registered and unfenced, in the order the answer lists them; null while the broker does
 * not answer, has no controller or does not list itself ready.
 */
export function describeCluster(address: string, timeoutMs = 2_000): Promise<number[] | null> {
  const [host, port] = address.split(':')
  return new Promise((resolve) => {
    const socket = connect({ host: host ?? '127.0.0.1', port: Number(port) })
    const settle = (answer: number[] | null): void => {
      socket.destroy()
      resolve(answer)
    }
    let received = Buffer.alloc(0)
    socket.setTimeout(timeoutMs, () => settle(null))
    socket.once('connect', () => socket.write(request()))
    socket.once('error', () => settle(null))
    socket.once('close', () => settle(null))
    socket.on('data', (chunk) => {
      received = Buffer.concat([received, chunk])
      if (received.length >= 4 && received.length >= 4 + received.readInt32BE(0))
        settle(brokersOf(received.subarray(4)))
    })
  })
}

function request(): Buffer {
  const body = Buffer.alloc(17)
  body.writeInt32BE(body.length - 4, 0)
  body.writeInt16BE(DESCRIBE_CLUSTER, 4)
  body.writeInt16BE(0, 6) // version
  body.writeInt32BE(CORRELATION, 8)
  body.writeInt16BE(-1, 12) // no client id
  // The last three bytes stay 0: no tagged fields, no authorized operations, no tagged fields.
  return body
}

/** Reads the answer: correlation, tags, throttle, error, message, cluster, controller, brokers. */
function brokersOf(answer: Buffer): number[] | null {
  let at = 4 + 1 + 4
  if (answer.readInt16BE(at) !== 0) return null
  at += 2
  const skipString = (): void => {
    const length = answer.readUInt8(at) // lengths are varints plus one, and all of these are short
    at += 1 + Math.max(0, length - 1)
  }
  skipString() // error message
  skipString() // cluster id
  const controller = answer.readInt32BE(at)
  at += 4
  const count = answer.readUInt8(at) - 1
  at += 1
  const ids: number[] = []
  for (let i = 0; i < count; i++) {
    ids.push(answer.readInt32BE(at))
    at += 4
    skipString() // host
    at += 4 // port
    skipString() // rack
    at += 1 // tagged fields
  }
  return controller < 0 ? null : ids
}
