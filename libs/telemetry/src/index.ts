/** Logs, metrics, spans and trace headers. */
export { carriedHeaders, correlationOf, type RecordHeaders, traceOf } from './carried.ts'
export { createLogger, type LogFields, type Logger, type LoggerOptions, type LogLevel, silentLogger } from './logger.ts'
export { type Cell, createMetrics, type Metrics } from './metrics.ts'
export { METRICS, type MetricName, type MetricSpec, TEXT_FIELDS } from './names.ts'
export { outOfContext } from './out-of-context.ts'
export { type SentJob, sendSpan } from './send-span.ts'
export {
  activeTrace,
  type Span,
  type SpanAttributes,
  type SpanName,
  type SpanOptions,
  type Tracing,
  traceHeaders,
  tracing,
} from './spans.ts'
export { formatTraceparent, parseTraceparent, type TraceContext, traceContext } from './trace.ts'
export { tracedCall } from './traced-call.ts'
