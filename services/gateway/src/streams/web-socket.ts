/**
 * WebSockets through the gateway: opened at the upstream first, then here, then message by message, pings and closes
 * included, until either side or the authority it was opened with ends. Neither side is read faster than the other takes.
 */
import type { IncomingMessage } from 'node:http'
import { answerOf } from '@countersign/boundary'
import { type Clock, mebibytes, seconds } from '@countersign/kernel'
import { WebSocket, WebSocketServer } from 'ws'
import type { Ending } from './open-connections.ts'
import type { Upgrade } from './upgrades.ts'

/** Codes of RFC 6455 §7.4.1, and of ours as HTTP has them; said without a reason. */
const GOING_AWAY = 1001
const TRY_AGAIN_LATER = 1013
const OWN = 4000
/** Reserved to say that none came, or that the connection broke (RFC 6455 §7.4.1). */
const NOT_SENT = new Set([1004, 1005, 1006, 1015])

const LARGEST_MESSAGE = mebibytes(4)
/** Bytes that may wait for one side before the other is not read. */
const MOST_WAITING = 256 * 1024
const CLOSE_WITHIN = seconds(2)

export interface WebSocketTarget {
  /** `http:` or `https:`, path and query checked. */
  readonly url: URL
  readonly headers: Readonly<Record<string, string | string[]>>
  /** Until the upstream has agreed, milliseconds. */
  readonly timeoutMs: number
}

/** What the upstream said: agreed, or an HTTP status instead, or nothing. */
export type Opened = { readonly ok: true; readonly target: WebSocket } | { readonly ok: false; readonly status: number }

const BAD_GATEWAY = 502
const GATEWAY_TIMEOUT = 504
/** Of the handshake itself: the client library makes its own. */
const HANDSHAKE = /^(?:sec-websocket-.*|connection|upgrade|host|content-length)$/

/** Asks the upstream. Never rejects. */
export function openUpstream(
  raw: IncomingMessage,
  { socket }: Upgrade,
  { url, headers, timeoutMs }: WebSocketTarget,
): Promise<Opened> {
  const address = new URL(url)
  address.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:'
  const target = new WebSocket(address, protocolsOf(raw), {
    headers: Object.fromEntries(Object.entries(headers).filter(([name]) => !HANDSHAKE.test(name))) as never,
    handshakeTimeout: timeoutMs,
    maxPayload: LARGEST_MESSAGE,
    perMessageDeflate: false,
    followRedirects: false,
    autoPong: false,
  })
  return new Promise((resolve) => {
    const refused = (status: number): void => {
      target.on('error', () => {})
      target.terminate()
      resolve({ ok: false, status })
    }
    // Whoever asked may be gone before the answer.
    const gone = (): void => refused(BAD_GATEWAY)
    socket.once('close', gone)
    target.once('open', () => {
      socket.off('close', gone)
      // Nothing is read before somebody listens.
      target.pause()
      target.removeAllListeners()
      resolve({ ok: true, target })
    })
    target.once('unexpected-response', (_request, { statusCode = BAD_GATEWAY }) => {
      // What the service says to this person is passed on; anything else is not what was asked of it.
      refused(statusCode >= 400 && statusCode < 500 ? statusCode : BAD_GATEWAY)
    })
    target.once('error', ({ message }) => refused(/timed out/.test(message) ? GATEWAY_TIMEOUT : BAD_GATEWAY))
  })
}

function protocolsOf({ headers }: IncomingMessage): string[] {
  const listed = headers['sec-websocket-protocol']?.split(',').map((name) => name.trim()) ?? []
  return [...new Set(listed)].filter((name) => /^[!#$%&'*+\-.^_`|~\w]+$/.test(name))
}

/** Agrees with whoever asked, and joins both until one ends. */
export class WebSockets {
  readonly #clock: Clock
  readonly #server: WebSocketServer

  constructor(clock: Clock) {
    this.#clock = clock
    this.#server = new WebSocketServer({
      noServer: true,
      clientTracking: false,
      maxPayload: LARGEST_MESSAGE,
      perMessageDeflate: false,
      autoPong: false,
    })
  }

  /**
   * @param onOver called once, when both sides are let go.
   * @returns what ends both at once.
   */
  join(raw: IncomingMessage, upgrade: Upgrade, target: WebSocket, onOver: () => void): (ending: Ending) => void {
    upgrade.take()
    const { socket, head } = upgrade
    let link: Link | null = null
    // The library agrees to the first of the protocols offered: only the one the upstream chose is left.
    if (target.protocol === '') delete raw.headers['sec-websocket-protocol']
    else raw.headers['sec-websocket-protocol'] = target.protocol
    this.#server.handleUpgrade(raw, socket, head, (source) => {
      link = new Link(source, target, this.#clock, onOver)
    })
    if (link === null) {
      // Gone meanwhile.
      target.on('error', () => {})
      target.terminate()
      queueMicrotask(onOver)
    }
    return (ending) => link?.end(ending)
  }
}

class Link {
  readonly #source: WebSocket
  readonly #target: WebSocket
  readonly #clock: Clock
  #open = 2
  #ended = false

  constructor(source: WebSocket, target: WebSocket, clock: Clock, onOver: () => void) {
    this.#source = source
    this.#target = target
    this.#clock = clock
    const sides = [
      [source, target],
      [target, source],
    ] as const
    for (const [from, to] of sides) {
      from.on('message', (data, binary) => this.#pass(from, to, (sent) => to.send(data, { binary }, sent)))
      from.on('ping', (data) => this.#pass(from, to, (sent) => to.ping(data, undefined, sent)))
      from.on('pong', (data) => this.#pass(from, to, (sent) => to.pong(data, undefined, sent)))
      // A frame that is none, or too large: the library closes with the code that says so.
      from.on('error', () => {})
      from.on('close', (code) => {
        if (!this.#ended) this.#close(to, code)
        if (--this.#open === 0) onOver()
      })
    }
    target.resume()
  }

  /** Nothing of either side reaches the other after this. */
  end(ending: Ending): void {
    if (this.#ended) return
    this.#ended = true
    const code = closeCode(ending)
    for (const side of [this.#source, this.#target]) {
      // What waits for somebody who does not read would be sent before the close, whenever that is.
      if (side.bufferedAmount > 0) side.terminate()
      else this.#close(side, code)
      side.resume()
    }
  }

  #pass(from: WebSocket, to: WebSocket, send: (sent: () => void) => void): void {
    if (this.#ended || to.readyState !== WebSocket.OPEN) return
    send(() => {
      if (from.isPaused && to.bufferedAmount <= MOST_WAITING) from.resume()
    })
    if (to.bufferedAmount > MOST_WAITING) from.pause()
  }

  #close(side: WebSocket, code: number): void {
    if (side.readyState === WebSocket.CLOSED) return
    // A side that broke off has said nothing that could be passed on.
    if (code === 1006) side.terminate()
    else if (NOT_SENT.has(code)) side.close()
    else side.close(code)
    const cancel = this.#clock.after(CLOSE_WITHIN, () => side.terminate())
    side.once('close', cancel)
  }
}

function closeCode(ending: Ending): number {
  if (ending === 'draining') return GOING_AWAY
  const { status } = answerOf(ending)
  return status === 503 ? TRY_AGAIN_LATER : OWN + status
}
