/** What the archive is now. Numbers, hashes and names of the archive itself; nothing of what is in it. */
import type { Archive, Archiver } from '@countersign/evidence'
import type { FastifyPluginAsync } from 'fastify'

export interface StatusRoutesOptions {
  readonly archive: Archive
  readonly archiver: Archiver
}

/**
 * `GET /v1/archive`: how it is doing. `GET /v1/archive/checkpoint`: the last signed checkpoint, to be kept elsewhere: with
 * it `audit verify --anchor` misses rows that were cut off together with all that told of them.
 */
export const statusRoutes: FastifyPluginAsync<StatusRoutesOptions> = async (server, { archive, archiver }) => {
  server.get('/v1/archive', async () => {
    const { asOf, behind, faults } = archiver.state()
    const { first, last } = archive.file.ends()
    const checkpoint = archive.lastCheckpoint()
    return {
      archive: archive.file.id,
      first,
      last,
      as_of: asOf === 0 ? null : new Date(asOf).toISOString(),
      behind,
      faults,
      checkpoint: checkpoint && {
        row: checkpoint.seq,
        hash: checkpoint.hash,
        at: new Date(checkpoint.at).toISOString(),
      },
    }
  })

  server.get('/v1/archive/checkpoint', async (_request, reply) => {
    const anchor = archive.anchor()
    return anchor ?? reply.code(204).send()
  })
}
