/**
 * One connection to Redis, kept up. Owns who may be asked and when: nothing is queued while it is down, nothing is sent
 * twice, everything has a deadline, and a connection that answered wrongly or not at all is given up for a new one.
 */
import type { Clock, Random } from '@countersign/kernel'
import { Command, Redis } from 'ioredis'
import type { SessionStoreError } from '../errors.ts'
import { closed, errorOf, failureOf, replyCode, unavailable } from './failure.ts'
import { ReplyGuard } from './guard.ts'
import { COMMIT, SCRIPTS, type Script } from './scripts.ts'

/** Where lines about the connection go; any logger of telemetry fits. */
export interface ConnectionLogger {
  info(fields: Readonly<Record<string, unknown>>, message: string): void
  warn(fields: Readonly<Record<string, unknown>>, message: string): void
  error(fields: Readonly<Record<string, unknown>>, message: string): void
}

export interface ConnectionOptions {
  readonly url: string
  readonly username: string | undefined
  readonly password: string | undefined
  readonly timeoutMs: number
  readonly clock: Clock
  readonly random: Random
  readonly logger: ConnectionLogger | undefined
}

const FIRST_RETRY_MS = 50
const LONGEST_RETRY_MS = 2_000

export class Connection {
  readonly #options: ConnectionOptions
  readonly #client: Redis
  /** The socket that is ready and was found to be of a Redis that may be used. */
  #live: object | null = null
  #refused: SessionStoreError | null = null
  #closed = false
  readonly #said = new Set<string>()
  /** Why there is no connection, for whoever is refused. */
  #away = 'no connection'
  #requests = 0
  readonly #sink: NonNullable<Parameters<Redis['sendCommand']>[1]>
  #held: { readonly socket: Redis['stream']; data: string } | null = null
  #waiting: ((error: SessionStoreError | null) => void)[] = []

  constructor(options: ConnectionOptions) {
    const { url, username, password, timeoutMs, random } = options
    this.#options = options
    this.#client = new Redis(url, {
      ...(username === undefined ? {} : { username }),
      ...(password === undefined ? {} : { password }),
      // RESP2: replies of the other protocol may arrive unasked.
      protocol: 2,
      disableClientInfo: true,
      connectionName: 'countersign-session-store',
      connectTimeout: timeoutMs,
      commandTimeout: timeoutMs,
      // Half-closed towards a Redis that does not answer, a socket would stay for long.
      disconnectTimeout: 0,
      enableOfflineQueue: false,
      autoResendUnfulfilledCommands: false,
      maxRetriesPerRequest: 0,
      enableAutoPipelining: false,
      autoResubscribe: false,
      retryStrategy: (attempt) => {
        const most = Math.min(FIRST_RETRY_MS * 2 ** Math.min(attempt - 1, 16), LONGEST_RETRY_MS)
        return most * (0.5 + (random.bytes(1)[0] as number) / 512)
      },
    })
    this.#sink = {
      isPipeline: true,
      destination: { redis: this.#client },
      write: (data: string | Buffer) => this.#hold(String(data)),
    }
    this.#client.on('connect', () => this.#guard())
    this.#client.on('ready', () => void this.#prepare())
    this.#client.on('close', () => this.#live && this.#lost('connection lost'))
    // Its text can quote replies; its code says most of why there is no connection.
    this.#client.on('error', (error) => {
      const code = replyCode(error)
      if (code !== null) this.#lost(`Redis error ${code}`)
      else if (this.#live) this.#lost('connection lost')
    })
  }

  /** Resolves once Redis may be asked. @throws {SESSION_STORE_EVICTION_POSSIBLE} @throws {SESSION_STORE_UNAVAILABLE} */
  async opened(withinMs: number): Promise<void> {
    if (this.#live) return
    const { clock } = this.#options
    const error = await new Promise<SessionStoreError | null>((resolve) => {
      const cancel = clock.after(withinMs, () => resolve(this.#refused ?? unavailable(this.#away)))
      this.#waiting.push((result) => {
        cancel()
        resolve(result)
      })
    })
    if (error) throw error
  }

  /**
   * Runs a script once.
   * @param deadline monotonic time.
   * @returns its reply without the number of the request.
   * @throws {SESSION_STORE_UNAVAILABLE} with outcome `none` if Redis cannot have run it, else `unknown`.
   */
  async run(
    script: Script,
    keys: readonly string[],
    args: readonly (string | number)[],
    deadline: number,
  ): Promise<unknown[]> {
    for (;;) {
      const socket = this.#usable()
      const left = deadline - this.#options.clock.monotonic()
      if (left <= 0) throw unavailable('no answer in time')
      const request = (this.#requests++).toString(36)
      const command = new Command('evalsha', [script.digest, keys.length, ...keys, request, ...args], {
        replyEncoding: 'utf8',
      })
      command.setTimeout(left)
      let reply: unknown
      try {
        reply = await this.#client.sendCommand(command, this.#sink)
      } catch (error) {
        // Not run, so it may be sent again.
        if (replyCode(error) === 'NOSCRIPT' && this.#live === socket) {
          await this.#load([script])
          continue
        }
        throw this.#failed(error, script, socket, left)
      }
      if (Array.isArray(reply) && reply[0] === request) return reply.slice(1)
      this.drop('an answer to something else', socket)
      throw unavailable('an answer to something else', script === COMMIT ? 'unknown' : 'none')
    }
  }

  /** Gives up the connection for a new one: what it answered cannot be right. */
  drop(reason: string, socket: object | null = this.#live): void {
    if (socket === null || this.#client.stream !== socket) return
    this.#lost(reason)
    this.#client.stream.destroy()
  }

  close(): void {
    this.#closed = true
    this.#live = null
    this.#client.disconnect()
    this.#settle(closed())
  }

  // Commands of one moment are written together.
  #hold(data: string): void {
    const socket = this.#client.stream
    if (this.#held?.socket !== socket) {
      const held = { socket, data: '' }
      this.#held = held
      process.nextTick(() => {
        if (this.#held === held) this.#held = null
        held.socket.write(held.data)
      })
    }
    if (this.#held) this.#held.data += data
  }

  #usable(): object {
    if (this.#closed) throw closed()
    const { stream, status } = this.#client
    if (this.#live !== null && this.#live === stream && status === 'ready' && stream.writable) return stream
    throw this.#refused ?? unavailable(this.#away)
  }

  #failed(error: unknown, script: Script, socket: object, left: number): SessionStoreError {
    const failure = failureOf(error, script === COMMIT)
    const code = replyCode(error)
    // Silence says something of the connection only if Redis had the time to answer. Nor will a demoted primary take
    // a write again.
    const silent = code === null && left >= this.#options.timeoutMs / 2
    if (silent || code === 'READONLY') this.drop(String(failure.detail.reason), socket)
    return this.#closed && failure.outcome === 'none' ? closed() : failure
  }

  #guard(): void {
    const { stream } = this.#client
    const guard = new ReplyGuard(() => this.#client.commandQueue.length)
    const { emit } = stream
    stream.emit = ((event: string, ...args: unknown[]): boolean => {
      if (event === 'data') {
        const reason = guard.refuse(args[0] as Uint8Array)
        if (reason !== null) {
          this.#lost(reason)
          stream.destroy()
          return false
        }
      }
      return Reflect.apply(emit, stream, [event, ...args]) as boolean
    }) as typeof emit
  }

  /** Asks of a new connection what must hold before it is used. */
  async #prepare(): Promise<void> {
    const { stream } = this.#client
    try {
      const asked = [this.#policy(), this.#appends(), this.#follows(), this.#load(SCRIPTS)] as const
      const [policy, appends, follows] = await Promise.all(asked)
      if (this.#closed || this.#client.stream !== stream || stream.destroyed) return
      if (follows) {
        // It would answer with what was true a while ago.
        this.#lost('a replica')
        stream.destroy()
        return
      }
      if (policy !== null && policy !== 'noeviction') {
        const reason = /^[a-z-]{1,32}$/.test(policy) ? policy : 'unknown policy'
        this.#refused = errorOf('SESSION_STORE_EVICTION_POSSIBLE', reason)
        this.#options.logger?.error({ reason }, 'this Redis may evict keys; maxmemory-policy must be noeviction')
        this.#settle(this.#refused)
        stream.destroy()
        return
      }
      if (policy === null) this.#warn('whether this Redis evicts keys is unknown; maxmemory-policy must be noeviction')
      if (appends === null) this.#warn('whether this Redis keeps an append-only file is unknown')
      if (appends === false) this.#warn('this Redis keeps no append-only file: a restart loses what was acknowledged')
      this.#refused = null
      this.#live = stream
      this.#options.logger?.info({}, 'the session store is connected')
      this.#settle(null)
    } catch {
      this.#lost('connection lost')
      if (this.#client.stream === stream) stream.destroy()
    }
  }

  async #policy(): Promise<string | null> {
    return (await this.#setting('maxmemory-policy')) ?? this.#informed('memory', 'maxmemory_policy')
  }

  async #appends(): Promise<boolean | null> {
    const setting = (await this.#setting('appendonly')) ?? (await this.#informed('persistence', 'aof_enabled'))
    return setting === null ? null : setting === 'yes' || setting === '1'
  }

  async #follows(): Promise<boolean> {
    const role = await this.#ask('role', [])
    return Array.isArray(role) && role[0] === 'slave'
  }

  /** @returns null where it may not be asked. */
  async #setting(name: string): Promise<string | null> {
    const reply = await this.#ask('config', ['get', name])
    return Array.isArray(reply) && reply[0] === name && typeof reply[1] === 'string' ? reply[1] : null
  }

  async #informed(section: string, name: string): Promise<string | null> {
    const reply = await this.#ask('info', [section])
    if (typeof reply !== 'string') return null
    const line = reply.split('\r\n').find((text) => text.startsWith(`${name}:`))
    return line ? line.slice(name.length + 1) : null
  }

  async #ask(name: string, args: string[]): Promise<unknown> {
    try {
      return await this.#client.sendCommand(new Command(name, args, { replyEncoding: 'utf8' }))
    } catch (error) {
      if (replyCode(error) === null) throw error
      return null
    }
  }

  async #load(scripts: readonly Script[]): Promise<void> {
    try {
      const send = ({ text }: Script): unknown =>
        this.#client.sendCommand(new Command('script', ['load', text], { replyEncoding: 'utf8' }))
      await Promise.all(scripts.map(send))
    } catch (error) {
      throw failureOf(error, false)
    }
  }

  #lost(reason: string): void {
    if (this.#live !== null && !this.#closed) this.#options.logger?.warn({ reason }, 'the session store is away')
    this.#live = null
    this.#away = reason
  }

  // Once each: connections come and go.
  #warn(message: string): void {
    if (this.#said.has(message)) return
    this.#said.add(message)
    this.#options.logger?.warn({}, message)
  }

  #settle(error: SessionStoreError | null): void {
    for (const resolve of this.#waiting.splice(0)) resolve(error)
  }
}
