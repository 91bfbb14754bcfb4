// The console as a client of identity: a seed on standard output, with the secret from the file named.
import { readFileSync } from 'node:fs'

const [, , file] = process.argv
const client = {
  id: 'console',
  name: 'Console',
  authMethod: 'client_secret_basic',
  secret: readFileSync(file, 'utf8').trim(),
  grants: ['authorization_code'],
  redirectUris: ['http://127.0.0.1:8084/signed-in'],
  audiences: ['console'],
  tokenFormat: 'opaque',
}
process.stdout.write(`${JSON.stringify({ clients: [client] })}\n`)
