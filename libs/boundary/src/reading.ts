/** Reads bodies that came over the network. */

const MAX_ANSWER_BYTES = 64 * 1024

/** @returns the body of an answer as text; empty when it is longer than 64 KiB. */
export async function readCapped(response: Response): Promise<string> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of response.body ?? []) {
    size += chunk.length
    if (size > MAX_ANSWER_BYTES) return ''
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}
