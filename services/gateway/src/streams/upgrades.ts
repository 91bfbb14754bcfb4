/**
 * Requests to switch protocols go through the same routing, hooks and rules as all others; a refusal is an HTTP answer on
 * the same socket, which then closes. What follows the head is nobody's until the switch is agreed on both sides.
 */
import { type IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyInstance } from 'fastify'

/** The connection of a request to switch protocols. */
export interface Upgrade {
  readonly socket: Socket
  /** Bytes that came behind the head. */
  readonly head: Buffer
  /** Takes the socket away from the HTTP answer; from then on whoever called this ends it. */
  take(): void
}

const upgrades = new WeakMap<IncomingMessage, Upgrade>()

/** @returns null for a request that asks for none. */
export function upgradeOf(raw: IncomingMessage): Upgrade | null {
  return upgrades.get(raw) ?? null
}

/** Whether it is an opening handshake of RFC 6455 §4.1; to every other protocol nobody switches here. */
export function isWebSocketHandshake({ method, headers, httpVersion }: IncomingMessage): boolean {
  return (
    method === 'GET' &&
    httpVersion === '1.1' &&
    isWebSocket(headers.upgrade) &&
    headers['sec-websocket-version'] === '13' &&
    /^[A-Za-z0-9+/]{21}[AQgw]==$/.test(headers['sec-websocket-key'] ?? '') &&
    headers['content-length'] === undefined &&
    headers['transfer-encoding'] === undefined
  )
}

function isWebSocket(protocol: string | undefined): boolean {
  return protocol?.toLowerCase() === 'websocket'
}

/** Lets requests to switch to WebSocket reach the routes. Who asks for another protocol is answered in this one (RFC 9110 §7.8). */
export function routeUpgrades(app: FastifyInstance): void {
  // Without it (Node before 24.9) whoever asks for any other is refused.
  Object.assign(app.server, { shouldUpgradeCallback: ({ headers }: IncomingMessage) => isWebSocket(headers.upgrade) })
  app.server.on('upgrade', (raw, duplex, head) => {
    const socket = duplex as Socket
    const response = new ServerResponse(raw)
    // Whatever else is on this connection was never parsed: it ends with the answer.
    response.shouldKeepAlive = false
    // Node has let go of the socket: an error there would be nobody's.
    const onError = (): void => void socket.destroy()
    socket.on('error', onError)
    response.assignSocket(socket)
    const onFinish = (): void => {
      response.detachSocket(socket)
      socket.destroySoon()
    }
    response.once('finish', onFinish)
    upgrades.set(raw, {
      socket,
      head,
      take() {
        upgrades.delete(raw)
        response.off('finish', onFinish)
        response.detachSocket(socket)
        socket.off('error', onError)
      },
    })
    app.routing(raw, response)
  })
}
