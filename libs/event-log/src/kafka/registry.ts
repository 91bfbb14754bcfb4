/**
 * Schemas in a Confluent-compatible registry. Ids are looked up when a log is opened and never later, so
 * that an outage of the registry changes nothing for who runs already.
 */
import type { Clock } from '@countersign/kernel'
import { COMPATIBILITY, SchemaRegistry, SchemaType } from '@kafkajs/confluent-schema-registry'
import { EventLogError } from '../errors.ts'
import type { LogCatalogue, SchemaIds } from '../port.ts'
import { strictSchemaIds } from '../schema-ids.ts'

/** One published version of a schema of a catalogue. */
export interface CatalogueSchema {
  readonly name: string
  /** From 1, rising by one. */
  readonly version: number
  readonly schema: object
}

/** A catalogue with its schemas; catalogues of `@countersign/schemas` fit. */
export interface KafkaCatalogue extends LogCatalogue {
  readonly schemas: readonly CatalogueSchema[]
}

/** A schema under the subject it is registered for. */
export interface RegisteredSubject extends CatalogueSchema {
  readonly subject: string
}

/**
 * Topics with several record types use the record's name as subject, others `<topic>-value`, which is what
 * ordinary Kafka tools look for; schemas of no topic use their name.
 * @returns in catalogue order, older versions first.
 */
export function subjectsOf(catalogue: KafkaCatalogue): RegisteredSubject[] {
  const subjects = new Map<string, string>()
  for (const { name, schemas } of catalogue.entries) {
    for (const schema of schemas) subjects.set(schemas.length > 1 ? schema : `${name}-value`, schema)
  }
  const used = new Set(subjects.values())
  for (const { name } of catalogue.schemas) if (!used.has(name)) subjects.set(name, name)
  return [...subjects].flatMap(([subject, name]) =>
    catalogue.schemas
      .filter((schema) => schema.name === name)
      .sort((a, b) => a.version - b.version)
      .map((schema) => ({ ...schema, subject })),
  )
}

/** A registry by address, each call bounded by what is left of one deadline. */
export class Registry {
  readonly #client: SchemaRegistry
  readonly #clock: Clock
  readonly #deadline: number

  constructor(url: string, clock: Clock, deadlineMs: number) {
    this.#client = new SchemaRegistry({ host: url, retry: { retries: 0 } })
    this.#clock = clock
    this.#deadline = clock.monotonic() + deadlineMs
  }

  /** @throws {EVENT_LOG_SCHEMA_UNKNOWN} naming the first schema that is not registered. */
  async lookUp(catalogue: KafkaCatalogue): Promise<SchemaIds> {
    const byId = new Map<number, { name: string; version: number }>()
    const newest = new Map<string, { id: number; version: number }>()
    const found = await Promise.all(
      subjectsOf(catalogue).map(async (subject) => ({ ...subject, id: await this.#idOf(subject) })),
    )
    for (const { name, version, id } of found) {
      byId.set(id, { name, version })
      if ((newest.get(name)?.version ?? 0) < version) newest.set(name, { id, version })
    }
    return strictSchemaIds({ idOf: (name) => newest.get(name)?.id, schemaOf: (id) => byId.get(id) })
  }

  /** @returns the subject's schemas that were missing, registered now. */
  async missing(catalogue: KafkaCatalogue): Promise<RegisteredSubject[]> {
    const all = subjectsOf(catalogue)
    const known = await Promise.all(
      all.map((subject) =>
        this.#idOf(subject).then(
          () => true,
          (error: unknown) => {
            if (error instanceof EventLogError && error.code === 'EVENT_LOG_SCHEMA_UNKNOWN') return false
            throw error
          },
        ),
      ),
    )
    return all.filter((_, i) => !known[i])
  }

  /**
   * Registers under FULL_TRANSITIVE compatibility, so that old and new readers and writers mix freely.
   * @throws {EVENT_LOG_SCHEMA_REFUSED} when it does not fit what is registered, or the subject has another rule.
   */
  async register({ subject, schema }: RegisteredSubject): Promise<void> {
    await this.#within(async () => {
      try {
        await this.#client.register(
          { type: SchemaType.AVRO, schema: JSON.stringify(schema) },
          { subject, compatibility: COMPATIBILITY.FULL_TRANSITIVE },
        )
      } catch (error) {
        const status = statusOf(error)
        // Somebody else registers it at this moment: asked again, it is there.
        if (status === 409 && /already exists/.test((error as Error).message)) throw error
        const refused = status === 409 || status === 422 || (error as Error).name === COMPATIBILITY_ERROR
        if (!refused) throw error
        throw new EventLogError({
          code: 'EVENT_LOG_SCHEMA_REFUSED',
          retriable: false,
          publicMessage: `the schema registry refuses ${subject}: ${(error as Error).message}`,
          detail: { subject },
          cause: error,
        })
      }
    })
  }

  #idOf({ subject, name, schema }: RegisteredSubject): Promise<number> {
    return this.#within(async () => {
      try {
        return await this.#client.getRegistryIdBySchema(subject, {
          type: SchemaType.AVRO,
          schema: JSON.stringify(schema),
        })
      } catch (error) {
        if (!isNotFound(error)) throw error
        throw new EventLogError({
          code: 'EVENT_LOG_SCHEMA_UNKNOWN',
          retriable: false,
          publicMessage: `${name} is not registered under ${subject}: run "topics apply"`,
          detail: { name, subject },
        })
      }
    })
  }

  /** Repeats until it works, the answer is a refusal, or the deadline has passed: the client has no timeout. */
  async #within<T>(call: () => Promise<T>): Promise<T> {
    for (;;) {
      const left = this.#deadline - this.#clock.monotonic()
      const late = new AbortController()
      try {
        const expired = this.#clock.sleep(Math.max(0, left), late.signal).then(() => {
          throw new Error('the deadline for the schema registry has passed')
        })
        expired.catch(() => {})
        return await Promise.race([call(), expired])
      } catch (error) {
        if (error instanceof EventLogError) throw error
        if (this.#deadline - this.#clock.monotonic() < 250) throw registryAway(error)
        await this.#clock.sleep(200)
      } finally {
        late.abort()
      }
    }
  }
}

const COMPATIBILITY_ERROR = 'ConfluentSchemaRegistryCompatibilityError'

/** The client turns a 404 of this one call into its base class, without the status. */
function isNotFound(error: unknown): boolean {
  return statusOf(error) === 404 || (error as Error | null)?.name === 'ConfluentSchemaRegistryError'
}

function statusOf(error: unknown): number | undefined {
  return (error as { status?: number } | null)?.status
}

function registryAway(cause: unknown): EventLogError {
  return new EventLogError({
    code: 'EVENT_LOG_UNAVAILABLE',
    retriable: true,
    publicMessage: 'the schema registry cannot be reached',
    detail: { reason: cause instanceof Error ? cause.message : 'unknown' },
    cause,
  })
}
