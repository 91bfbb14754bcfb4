/** An authorization server that only introspects, as cheaply as Node can; its work is not counted. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

const ENDED = 'token=at_e_'
const ACTIVE = JSON.stringify({
  active: true,
  scope: 'invoices:export invoices:read',
  client_id: 'web',
  sub: 'usr_0123456789abcdef',
  aud: 'billing-export',
  iss: 'https://id.example',
  token_type: 'access_token',
  iat: 1_800_000_000,
  exp: 1_900_000_000,
})
const INACTIVE = JSON.stringify({ active: false })

const server = createServer((request, response) => {
  let body = ''
  request.setEncoding('latin1')
  request.on('data', (text: string) => {
    body += text
  })
  request.on('end', () => {
    const answer = body.startsWith(ENDED) ? INACTIVE : ACTIVE
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': answer.length })
    response.end(answer)
  })
})
server.keepAliveTimeout = 60_000
server.listen(0, '127.0.0.1', () => {
  process.send?.(`http://127.0.0.1:${(server.address() as AddressInfo).port}/introspect`)
})
process.on('disconnect', () => process.exit(0))
