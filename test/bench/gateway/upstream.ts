/** The service behind every proxy of the bench, in a process of its own: tells at `/headers` what reached it. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { BODY } from './subject.ts'

const server = createServer((request, response) => {
  const body = request.url === '/invoices/headers' ? JSON.stringify(request.headers) : BODY
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }).end(body)
})
server.keepAliveTimeout = 60_000
server.listen(0, '127.0.0.1')
await once(server, 'listening')
process.send?.(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
process.on('disconnect', () => process.exit(0))
