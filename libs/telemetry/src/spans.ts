/**
 * Spans, by the OpenTelemetry API alone. Without an SDK in the process nothing is made: every function here answers
 * null after one look. Owns the names of spans and of their attributes; no attribute carries a credential, a payload,
 * a person's name or the message of an error.
 */
import {
  type Span as ApiSpan,
  type Tracer as ApiTracer,
  context,
  createTraceState,
  isSpanContextValid,
  ROOT_CONTEXT,
  type SpanContext,
  SpanKind,
  SpanStatusCode,
  TraceFlags,
  trace,
} from '@opentelemetry/api'
import { formatTraceparent, type TraceContext } from './trace.ts'

/** What a span may say of itself; each a name, a handle, a code or a count. */
export interface SpanAttributes {
  'messaging.system'?: 'countersign'
  /** Physical topic. */
  'messaging.destination.name'?: string
  'messaging.destination.partition.id'?: string
  'messaging.kafka.offset'?: number
  'messaging.operation.type'?: 'send' | 'receive' | 'process'
  'messaging.batch.message_count'?: number
  /** Event id. */
  'messaging.message.id'?: string
  'http.request.method'?: string
  'http.route'?: string
  'http.response.status_code'?: number
  'server.address'?: string
  'countersign.class'?: string
  'countersign.attempt'?: number
  /** State, or what refused. */
  'countersign.outcome'?: string
  'countersign.reason'?: string
  'countersign.rule'?: string
  'countersign.correlation'?: string
  'countersign.tenant'?: string
  'countersign.txn'?: string
}

/** `send <topic>`, `receive <topic>`, `process <topic>`, `answer <method and route>`, `ask <method and path>`. */
export type SpanName = `${'send' | 'receive' | 'process' | 'answer' | 'ask'} ${string}`

export interface SpanOptions {
  readonly kind: 'producer' | 'consumer' | 'client' | 'server'
  /** Null begins a trace. @defaultValue what is active where it is begun */
  readonly parent?: TraceContext | null
  /** At most 128 are kept. */
  readonly links?: readonly TraceContext[]
  readonly attributes?: SpanAttributes
}

/** A span under way. */
export interface Span {
  /** Of this span: what follows from it has it for a parent. */
  readonly trace: TraceContext
  set(attributes: SpanAttributes): void
  /** Calls `fn` with this span as the active one. @returns what it returns. */
  run<T>(fn: () => T): T
  /** @param fault code of what went wrong, if something did. Once. */
  end(fault?: string | null): void
}

/** Makes spans; there is one while an SDK is installed. */
export interface Tracing {
  begin(name: SpanName, options: SpanOptions): Span
}

const MOST_LINKS = 128
const KINDS = {
  producer: SpanKind.PRODUCER,
  consumer: SpanKind.CONSUMER,
  client: SpanKind.CLIENT,
  server: SpanKind.SERVER,
} as const

let made: { readonly tracer: ApiTracer; readonly tracing: Tracing } | null = null

/** @returns null without an SDK; then nothing need be prepared either. Cost: under 0.1 µs. */
export function tracing(): Tracing | null {
  const provider = trace.getTracerProvider() as ReturnType<typeof trace.getTracerProvider> & {
    getDelegateTracer?(name: string): ApiTracer | undefined
  }
  // The provider that stands in until there is an SDK knows of none; any other is one.
  const tracer = provider.getDelegateTracer ? provider.getDelegateTracer(NAME) : provider.getTracer(NAME)
  if (tracer === undefined) return null
  if (made?.tracer !== tracer) made = { tracer, tracing: { begin: (name, options) => begun(tracer, name, options) } }
  return made.tracing
}

const NAME = '@countersign'

/** @returns the trace that an SDK says is going on where this is called; null without one. */
export function activeTrace(): TraceContext | null {
  const active = trace.getActiveSpan()
  return active === undefined ? null : traceOf(active.spanContext())
}

/** @returns `traceparent`, and `tracestate` where there is one, for a request or a record. */
export function traceHeaders(trace: TraceContext): readonly (readonly [name: string, value: string])[] {
  const parent = ['traceparent', formatTraceparent(trace)] as const
  return trace.state === undefined ? [parent] : [parent, ['tracestate', trace.state]]
}

function begun(tracer: ApiTracer, name: SpanName, options: SpanOptions): Span {
  const { kind, parent, links = [], attributes = {} } = options
  const around = parent === undefined ? context.active() : parent === null ? ROOT_CONTEXT : contextOf(parent)
  const span = tracer.startSpan(
    name,
    {
      kind: KINDS[kind],
      attributes: attributes as Record<string, string | number>,
      links: links.slice(0, MOST_LINKS).map((link) => ({ context: spanContextOf(link) })),
    },
    around,
  )
  return new BegunSpan(span, parent ?? null)
}

class BegunSpan implements Span {
  readonly trace: TraceContext
  readonly #span: ApiSpan

  constructor(span: ApiSpan, parent: TraceContext | null) {
    this.#span = span
    this.trace = traceOf(span.spanContext()) ?? parent ?? NOWHERE
  }

  set(attributes: SpanAttributes): void {
    this.#span.setAttributes(attributes as Record<string, string | number>)
  }

  run<T>(fn: () => T): T {
    return context.with(trace.setSpan(context.active(), this.#span), fn)
  }

  end(fault: string | null = null): void {
    if (fault !== null) {
      this.#span.setStatus({ code: SpanStatusCode.ERROR })
      this.#span.setAttribute('error.type', fault)
    }
    this.#span.end()
  }
}

const NOWHERE: TraceContext = { traceId: '0'.repeat(32), spanId: '0'.repeat(16), sampled: false }

function contextOf(parent: TraceContext): ReturnType<typeof context.active> {
  return trace.setSpanContext(ROOT_CONTEXT, spanContextOf(parent))
}

function spanContextOf({ traceId, spanId, sampled, state }: TraceContext): SpanContext {
  const traceFlags = sampled ? TraceFlags.SAMPLED : TraceFlags.NONE
  const traceState = state === undefined ? undefined : createTraceState(state)
  return { traceId, spanId, traceFlags, isRemote: true, ...(traceState && { traceState }) }
}

function traceOf(found: SpanContext): TraceContext | null {
  if (!isSpanContextValid(found)) return null
  const { traceId, spanId, traceFlags, traceState } = found
  const state = traceState?.serialize()
  return { traceId, spanId, sampled: (traceFlags & TraceFlags.SAMPLED) !== 0, ...(state && { state }) }
}
