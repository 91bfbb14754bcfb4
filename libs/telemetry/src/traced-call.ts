/** One HTTP call to another service, as part of the trace that is going on. */
import { activeTrace, traceHeaders, tracing } from './spans.ts'

/**
 * @param endpoint its path becomes part of the name, so it holds no ids.
 * @param call is given the headers to send besides: none without an SDK.
 * @returns what `call` does, and rejects as it does.
 */
export async function tracedCall(
  method: 'GET' | 'POST',
  endpoint: URL,
  call: (headers: Readonly<Record<string, string>>) => Promise<Response>,
): Promise<Response> {
  const spans = tracing()
  if (spans === null) return call({})
  const { pathname, hostname } = endpoint
  const attributes = { 'http.request.method': method, 'server.address': hostname } as const
  const around = activeTrace()
  const span = spans.begin(`ask ${method} ${pathname}`, { kind: 'client', parent: around, attributes })
  try {
    const response = await span.run(() => call(Object.fromEntries(traceHeaders(span.trace))))
    span.set({ 'http.response.status_code': response.status })
    span.end(response.status >= 500 ? String(response.status) : null)
    return response
  } catch (error) {
    span.end('unreachable')
    throw error
  }
}
