/** Schema ids as the port gives them. */
import { EventLogError } from './errors.ts'
import type { LogCatalogue, SchemaIds } from './port.ts'

/** The same table, with a name that has no id as an error instead of undefined. */
export function strictSchemaIds(table: ReturnType<LogCatalogue['schemaIds']>): SchemaIds {
  return {
    idOf(name) {
      const id = table.idOf(name)
      if (id === undefined) {
        throw new EventLogError({
          code: 'EVENT_LOG_SCHEMA_UNKNOWN',
          retriable: false,
          publicMessage: `${name} has no schema id on this log`,
          detail: { name },
        })
      }
      return id
    },
    schemaOf: (id) => table.schemaOf(id),
  }
}
