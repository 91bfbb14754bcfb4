/**
 * The tree that lets one signature cover many envelopes. Nodes are paired from the left; a last node
 * without partner moves up unchanged (the shape of RFC 9162), so a path has exactly the length that
 * index and size imply and no leaf is ever doubled.
 *
 * Hashes are latin1 strings of 32 characters: `crypto.hash` makes them three times faster than buffers,
 * and they compare and key maps directly.
 */
import { hash } from 'node:crypto'

export const HASH_BYTES = 32
/** Envelopes under one signature, at most; paths stay within 16. */
export const MAX_TREE_SIZE = 65_536

// Leaves begin with `CSE`, so no leaf is a node; the root is signed inside a longer text of its own.
const NODE_PREFIX = Buffer.from('CSN\x01')
const node = Buffer.alloc(NODE_PREFIX.length + 2 * HASH_BYTES)
node.set(NODE_PREFIX)
const ROOT_CONTEXT = Buffer.from('countersign.Envelope.v1\0')

/** @returns the hash of a leaf: all bytes of an envelope up to the end of its claims. */
export function leafHash(leaf: Uint8Array): string {
  return hash('sha256', leaf, 'binary')
}

/** @returns the hash of an inner node. */
export function nodeHash(left: string, right: string): string {
  node.write(left, NODE_PREFIX.length, HASH_BYTES, 'latin1')
  node.write(right, NODE_PREFIX.length + HASH_BYTES, HASH_BYTES, 'latin1')
  return hash('sha256', node, 'binary')
}

/** @returns what the root key signs: context, key id, tree size, root. */
export function rootMessage(keyId: Uint8Array, treeSize: number, root: string): Buffer {
  const numbers = Buffer.alloc(8)
  numbers.writeUInt32BE(keyId.length, 0)
  numbers.writeUInt32BE(treeSize, 4)
  return Buffer.concat([ROOT_CONTEXT, numbers.subarray(0, 4), keyId, numbers.subarray(4), Buffer.from(root, 'latin1')])
}

/** @returns how many siblings the leaf `index` of a tree of `size` leaves has on its way up; 0 to 16. */
export function pathLength(index: number, size: number): number {
  let length = 0
  for (let last = size - 1, at = index; last > 0; last >>>= 1, at >>>= 1) if (at !== last || at & 1) length++
  return length
}

/** @returns the levels of the tree, leaves first, the root alone in the last. */
export function buildTree(leaves: readonly string[]): string[][] {
  const levels = [[...leaves]]
  for (let level = levels[0] as string[]; level.length > 1; ) {
    const above: string[] = []
    for (let i = 0; i < level.length; i += 2) {
      const right = level[i + 1]
      above.push(right === undefined ? (level[i] as string) : nodeHash(level[i] as string, right))
    }
    levels.push(above)
    level = above
  }
  return levels
}

/** Writes the siblings of leaf `index`, lowest first. */
export function writePath(levels: readonly string[][], index: number, out: Buffer, offset: number): void {
  let to = offset
  let at = index
  for (const level of levels) {
    const sibling = level[at ^ 1]
    if (sibling !== undefined) to += out.write(sibling, to, HASH_BYTES, 'latin1')
    at >>>= 1
  }
}
