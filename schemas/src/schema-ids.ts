/**
 * Ids of published schemas for logs without a registry. Append-only: an id, once given to a name and
 * version, never changes and is never given again. Ids from 1000 on belong to users' own payloads.
 */
import { published } from './generated/published.ts'

/** One published version of one schema. */
export interface SchemaEntry {
  /** Id on logs without a registry. */
  readonly id: number
  /** Full Avro name. */
  readonly name: string
  /** From 1, rising by one. */
  readonly version: number
  readonly schema: object
  /** Subject in a registry: the record's full name, as the signals log carries several records. */
  readonly subject: string
}

/** Two-way map between schemas and ids. */
export interface SchemaIdTable {
  /** @returns the id of the newest version, or undefined for an unknown name. */
  idOf(name: string): number | undefined
  /** @returns what an id stands for, or undefined for an id that is not expected. */
  schemaOf(id: number): { readonly name: string; readonly version: number } | undefined
}

/** Lowest id a user's own payload schema may have. */
export const FIRST_USER_SCHEMA_ID = 1000

// One row per published version. Never edit or remove a row; add below.
const IDS: readonly (readonly [id: number, name: string, version: number])[] = [
  [1, 'countersign.Signal', 1],
  [2, 'countersign.Checkpoint', 1],
  [3, 'countersign.EpochClaim', 1],
  [4, 'countersign.TrustBundle', 1],
  [5, 'countersign.EnvelopeClaims', 1],
  [6, 'countersign.DecisionBatch', 1],
  [7, 'countersign.Progress', 1],
  [8, 'countersign.InvoiceExport', 1],
  [9, 'countersign.PaymentRun', 1],
  [10, 'countersign.EmailSend', 1],
  [11, 'countersign.ReportBuild', 1],
  [12, 'countersign.JourneyEvent', 1],
  [13, 'countersign.JourneyEvent', 2],
  [14, 'countersign.DecisionBatch', 2],
  [15, 'countersign.EnvelopeClaims', 2],
  [16, 'countersign.JourneyEvent', 3],
  [17, 'countersign.Progress', 2],
  [18, 'countersign.Registration', 1],
  [19, 'countersign.TrustBundle', 2],
  [20, 'countersign.DecisionBatch', 3],
]

/** Every published version of Countersign's own schemas and the example's payloads, by id. */
export const schemaEntries: readonly SchemaEntry[] = published
  .map(({ name, version, schema }) => {
    const id = IDS.find((row) => row[1] === name && row[2] === version)?.[0]
    if (id === undefined) throw new RangeError(`${name} version ${version} is published without an id`)
    return Object.freeze({ id, name, version, schema, subject: name })
  })
  .sort((a, b) => a.id - b.id)

/** @throws {RangeError} when two entries share an id, or a name and version. */
export function schemaIdTable(entries: readonly SchemaEntry[]): SchemaIdTable {
  const byId = new Map<number, SchemaEntry>()
  const newest = new Map<string, SchemaEntry>()
  const seen = new Set<string>()
  for (const entry of entries) {
    const label = `${entry.name} version ${entry.version}`
    if (byId.has(entry.id)) throw new RangeError(`schema id ${entry.id} is given twice`)
    if (seen.has(label)) throw new RangeError(`${label} is given twice`)
    seen.add(label)
    byId.set(entry.id, entry)
    if ((newest.get(entry.name)?.version ?? 0) < entry.version) newest.set(entry.name, entry)
  }
  return {
    idOf: (name) => newest.get(name)?.id,
    schemaOf: (id) => byId.get(id),
  }
}
