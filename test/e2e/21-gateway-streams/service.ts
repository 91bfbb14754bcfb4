/** A service behind the gateway, in a process of its own: WebSockets that echo, and event streams. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { WebSocketServer } from 'ws'

const server = createServer((request, response) => {
  response.writeHead(200, { 'content-type': 'text/event-stream' })
  const timer = setInterval(() => response.write(`data: ${request.url}\n\n`), 50)
  response.on('close', () => clearInterval(timer))
})
const sockets = new WebSocketServer({ server, perMessageDeflate: false })
sockets.on('connection', (socket) => socket.on('message', (data, binary) => socket.send(data, { binary })))
server.listen(0, '127.0.0.1')
await once(server, 'listening')
process.send?.(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
process.on('message', () => process.send?.(sockets.clients.size))
process.on('disconnect', () => process.exit(0))
