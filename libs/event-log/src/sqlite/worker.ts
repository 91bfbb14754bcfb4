/**
 * The thread that owns the file. Requests that arrive together share one transaction, so that concurrent
 * appends pay for one sync of the disk. It imports only its neighbours and Node, because it must start
 * from source and from dist alike, without the owner's import conditions.
 */
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import { identityOf, type LogFile, openFile, untilFree } from './database.ts'
import { Fault } from './fault.ts'
import { Leases } from './leases.ts'
import type { Changed, OperationName, Reply, Request, WorkerInput } from './protocol.ts'
import { Records } from './records.ts'
import { Watch } from './watch.ts'

const POLL_MS = 5
const { path, busyTimeoutMs } = workerData as WorkerInput
const port = parentPort!

let file: LogFile = openFile(path, busyTimeoutMs)
let records = new Records(file.db)
let leases = new Leases(file.db)
let watch = new Watch(file.db)
let watching = false

const writes: ReadonlySet<OperationName> = new Set([
  'append',
  'createTopics',
  'trim',
  'sync',
  'commit',
  'release',
  'leave',
])

port.on('message', (first: Request) => {
  const batch = [first]
  for (let more = receiveMessageOnPort(port); more; more = receiveMessageOnPort(port))
    batch.push(more.message as Request)
  for (const run of runs(batch)) {
    if (writes.has(run[0]!.name)) inTransaction(run)
    else for (const request of run) answer(request, attempt(request, busyTimeoutMs))
  }
  // Own commits do not move data_version, so their news is told here.
  if (watching) tell(watch.changed(true))
})

/** Neighbouring writes belong together; order is kept, so that a caller reads what it wrote. */
function* runs(batch: Request[]): Iterable<Request[]> {
  let run: Request[] = []
  for (const request of batch) {
    if (run.length > 0 && writes.has(request.name) !== writes.has(run[0]!.name)) {
      yield run
      run = []
    }
    run.push(request)
  }
  yield run
}

function inTransaction(requests: Request[]): void {
  const replies: [Request, Reply][] = []
  try {
    followPath()
    untilFree(busyTimeoutMs, () => file.db.exec('BEGIN IMMEDIATE'))
    for (const request of requests) {
      const reply = attempt(request)
      // Anything but a refusal up front may have left half of its rows: nobody's part may be committed.
      if ('fault' in reply && reply.fault !== 'topic_unknown') throw new Fault(reply.fault, reply.message)
      replies.push([request, reply])
    }
  } catch (error) {
    rollBack()
    fail(requests, 'unavailable', error)
    return
  }
  try {
    file.db.exec('COMMIT')
  } catch (error) {
    rollBack()
    fail(requests, 'unknown', error)
    return
  }
  for (const [request, reply] of replies) answer(request, reply)
}

/** @param patienceMs how long to wait for others; 0 inside a transaction, where nobody can be in the way. */
function attempt(request: Request, patienceMs = 0): Reply {
  try {
    return { id: request.id, result: untilFree(patienceMs, () => perform(request)) }
  } catch (error) {
    return { id: request.id, fault: error instanceof Fault ? error.kind : 'unavailable', message: String(error) }
  }
}

function perform(request: Request): unknown {
  switch (request.name) {
    case 'append': {
      const { topic, records: packed, timestamp } = request.input
      return records.append(topic, packed, timestamp ?? Date.now())
    }
    case 'read': {
      followPath()
      const { topic, partition, from, maxRecords, maxBytes } = request.input
      // One snapshot for bounds and rows: a cut by another process in between would look like a gap.
      file.db.exec('BEGIN')
      try {
        return records.read(topic, partition, from, maxRecords, maxBytes)
      } finally {
        file.db.exec('COMMIT')
      }
    }
    case 'bounds':
      followPath()
      return records.bounds(request.input.topic, request.input.partition)
    case 'topics':
      followPath()
      return records.topics()
    case 'createTopics':
      return records.createTopics(request.input.specs)
    case 'trim':
      return records.trim(request.input.now ?? Date.now())
    case 'sync':
      return leases.sync(request.input)
    case 'commit':
      return leases.commit(request.input)
    case 'release':
      return leases.release(request.input)
    case 'leave':
      return leases.leave(request.input)
    case 'watch':
      return setWatching(request.input.on)
    case 'close':
      setWatching(false)
      return file.db.close()
  }
}

/**
 * A file put in the place of ours is followed; a missing one is an outage. Without this, a process would
 * go on appending to a deleted file, and acknowledge what nobody can read.
 */
function followPath(): void {
  const identity = identityOf(path)
  if (identity === file.identity) return
  if (identity === null) throw new Fault('unavailable', `${path} is gone`)
  file.db.close()
  file = openFile(path, busyTimeoutMs)
  records = new Records(file.db)
  leases = new Leases(file.db)
  watch = new Watch(file.db)
}

function rollBack(): void {
  try {
    if (file.db.isTransaction) file.db.exec('ROLLBACK')
  } catch {
    // The connection is beyond use; the next request finds that out and says so.
  }
}

function fail(requests: Request[], fault: 'unavailable' | 'unknown', error: unknown): void {
  for (const { id } of requests) port.postMessage({ id, fault, message: String(error) } satisfies Reply)
}

function answer(request: Request, reply: Reply): void {
  const packed =
    request.name === 'read' && 'result' in reply ? (reply.result as { records: Uint8Array<ArrayBuffer> }).records : null
  port.postMessage(reply, packed ? [packed.buffer] : [])
  if (request.name === 'close') port.close()
}

let poll: NodeJS.Timeout | undefined

function setWatching(on: boolean): null {
  if (on !== watching) {
    watching = on
    clearInterval(poll)
    if (on) {
      watch.changed(true)
      poll = setInterval(lookAround, POLL_MS)
    }
  }
  return null
}

function lookAround(): void {
  try {
    tell(watch.changed(false))
  } catch {
    // Locked or being replaced: the next look, or the next read, settles it.
  }
}

function tell(changed: Changed['changed']): void {
  if (changed.partitions.length + changed.groups.length > 0) port.postMessage({ changed } satisfies Changed)
}
