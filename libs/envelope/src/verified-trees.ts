/**
 * Checks that an envelope's leaf belongs to a signed tree, and keeps the hashes it has proven, so that
 * the next envelope of the same batch needs about two hashes and no signature check.
 *
 * Invariants: a hash is kept only after the signature over its root was verified; a warm answer equals a
 * cold one for every byte of the envelope, because what is not hashed is compared with what was; all of
 * it belongs to one trust bundle and goes when another comes.
 */
import { verify } from 'node:crypto'
import type { KeyRing, KnownKey } from './key-ring.ts'
import { SIGNATURE_BYTES } from './keys.ts'
import { HASH_BYTES, leafHash, nodeHash, rootMessage } from './merkle.ts'
import type { Wire } from './wire.ts'

/** One tree whose root signature was verified. */
interface VerifiedTree {
  readonly keyId: string
  readonly size: number
  /** Proven hashes, level by level from the leaves; holes where nothing is proven yet. */
  readonly nodes: (string | undefined)[]
}

export class VerifiedTrees {
  readonly #maxNodes: number
  readonly #onVerified: (treeSize: number) => void
  readonly #trees = new Map<string, VerifiedTree>()
  #places = 0
  #bundle: Buffer | null = null
  /** The tree found last, and its signature: envelopes of one batch follow each other. */
  #last: VerifiedTree | null = null
  readonly #lastSignature = new Uint8Array(SIGNATURE_BYTES)
  // What the last climb came by and has not proven yet, in step. Kept to spare two allocations.
  readonly #climbed: number[] = []
  readonly #hashes: string[] = []

  /**
   * @param maxNodes hashes kept, at most; about 56 bytes each.
   * @param onVerified told the size of each tree whose signature was verified, again when it was forgotten.
   */
  constructor(maxNodes: number, onVerified: (treeSize: number) => void = () => {}) {
    this.#maxNodes = maxNodes
    this.#onVerified = onVerified
  }

  /** @returns true when this key signed the tree the envelope is a leaf of. */
  verify(wire: Wire, keyId: string, key: KnownKey, ring: KeyRing): boolean {
    this.#follow(ring)
    const { bytes, treeSize: size, pathEnd } = wire
    const signature = this.#isLast(bytes, pathEnd) ? null : bytes.toString('latin1', pathEnd)
    const known = signature === null ? this.#last : this.#trees.get(signature)
    if (known) {
      if (signature !== null) this.#remember(known, bytes, pathEnd)
      if (known.keyId !== keyId || known.size !== size || this.#climb(wire, known.nodes) !== null) return false
      this.#keep(known.nodes)
      return true
    }
    const root = this.#climb(wire, [])
    const message = rootMessage(bytes.subarray(wire.claimsEnd, wire.keyEnd), size, root as string)
    if (!verify(null, message, key.publicKey, bytes.subarray(pathEnd))) return false
    this.#onVerified(size)
    const tree: VerifiedTree = { keyId, size, nodes: [] }
    this.#keep(tree.nodes)
    if (this.#admit(signature as string, tree)) this.#remember(tree, bytes, pathEnd)
    return true
  }

  #isLast(bytes: Buffer, from: number): boolean {
    if (this.#last === null) return false
    const signature = this.#lastSignature
    for (let i = 0; i < SIGNATURE_BYTES; i++) if (signature[i] !== bytes[from + i]) return false
    return true
  }

  #remember(tree: VerifiedTree, bytes: Buffer, from: number): void {
    this.#last = tree
    this.#lastSignature.set(bytes.subarray(from))
  }

  /**
   * Climbs from the leaf until it meets a proven hash, or to the root. Siblings above a proven hash are
   * proven too, since whatever proved it climbed past them; they are compared, not hashed.
   *
   * @returns null when it met a proven hash and all above agrees, else the root it found.
   */
  #climb(wire: Wire, nodes: readonly (string | undefined)[]): string | null {
    const { bytes } = wire
    this.#climbed.length = 0
    this.#hashes.length = 0
    let hash = leafHash(bytes.subarray(0, wire.claimsEnd))
    let met = false
    let path = wire.keyEnd
    let base = 0
    for (let at = wire.leafIndex, count = wire.treeSize; ; base += count, at >>>= 1, count = (count + 1) >>> 1) {
      if (!met) {
        const proven = nodes[base + at]
        if (proven === undefined) this.#note(base + at, hash)
        else if (proven === hash) met = true
        else return hash
      }
      if (count === 1) return met ? null : hash
      const siblingAt = at ^ 1
      if (siblingAt >= count) continue
      const begin = path
      path += HASH_BYTES
      if (met) {
        if (nodes[base + siblingAt] !== bytes.toString('latin1', begin, path)) return hash
      } else {
        const sibling = bytes.toString('latin1', begin, path)
        this.#note(base + siblingAt, sibling)
        hash = at & 1 ? nodeHash(sibling, hash) : nodeHash(hash, sibling)
      }
    }
  }

  #note(place: number, hash: string): void {
    this.#climbed.push(place)
    this.#hashes.push(hash)
  }

  #keep(nodes: (string | undefined)[]): void {
    for (let i = 0; i < this.#hashes.length; i++) nodes[this.#climbed[i] as number] = this.#hashes[i]
  }

  /** Oldest trees make room; a tree too large for the whole store is not kept. @returns whether it is. */
  #admit(signature: string, tree: VerifiedTree): boolean {
    if (cost(tree) > this.#maxNodes) return false
    this.#trees.set(signature, tree)
    this.#places += cost(tree)
    for (const [oldest, gone] of this.#trees) {
      if (this.#places <= this.#maxNodes) break
      this.#trees.delete(oldest)
      this.#places -= cost(gone)
      if (gone === this.#last) this.#last = null
    }
    return true
  }

  #follow(ring: KeyRing): void {
    if (this.#bundle === ring.hash) return
    if (!this.#bundle?.equals(ring.hash)) {
      this.#trees.clear()
      this.#places = 0
      this.#last = null
    }
    this.#bundle = ring.hash
  }
}

/** Places a tree may fill, and a few for its own weight. */
function cost(tree: VerifiedTree): number {
  return 2 * tree.size + 4
}
