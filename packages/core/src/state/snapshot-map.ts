/**
 * A map for state machines whose content can be captured in constant time while writes go on, so that a snapshot of a large
 * state is taken without a pause. Holds no clock and does no I/O.
 */
import { badOption, KagamiError } from '../contract/index.js'
import { deleteFromTree, emptyLeaf, indexIn, leafOf, leavesFrom, lowerBound, setInTree } from './tree.js'
import type { Node } from './tree.js'

/** A range of keys, in the order of the map. */
export interface KeyRange {
  /** The first key, if it is there. @default the smallest */
  readonly from?: string
  /** The key that the range ends before. @default no end */
  readonly to?: string
}

/** What can be read of a map, or of a view of it. Ordered by key (by UTF-16 code units, as `<` does), whatever its history. */
export interface ReadonlySnapshotMap<V> extends Iterable<readonly [key: string, value: V]> {
  /** How many entries there are. Counted as they change, so asking costs nothing. */
  readonly size: number
  /**
   * The value of a key; undefined where there is none. In logarithmic time.
   * @throws KAGAMI_SNAPSHOT_FAILED on a view that was released
   */
  get(key: string): V | undefined
  /**
   * Whether there is an entry of this key, be its value undefined.
   * @throws KAGAMI_SNAPSHOT_FAILED on a view that was released
   */
  has(key: string): boolean
  /** The entries of a range as they are now: what changes while they are being read is not seen. */
  entries(range?: KeyRange): IterableIterator<readonly [key: string, value: V]>
}

/**
 * Made by {@link snapshotMap}. Values are kept by reference, and a view shows the same objects: never change a value in
 * place, set a new one.
 */
export interface SnapshotMap<V> extends ReadonlySnapshotMap<V> {
  /**
   * Adds an entry, or gives the one that is there another value.
   * @throws KAGAMI_BAD_OPTION where the key is no string
   */
  set(key: string, value: V): void
  /** Whether the key was there. */
  delete(key: string): boolean
  /** Removes every entry, in constant time. Views keep what they show. */
  clear(): void
  /** The content as it is now, for as long as it is needed. Takes constant time, whatever the size. */
  capture(): CapturedMap<V>
}

/** The content of a map at one moment. Nothing changes it. */
export interface CapturedMap<V> extends ReadonlySnapshotMap<V> {
  /**
   * Gives the view up, so that the map need not copy on its account any more. Reading it afterwards throws
   * KAGAMI_SNAPSHOT_FAILED. Idempotent.
   */
  release(): void
}

/**
 * An empty map. `get`, `set` and `delete` take logarithmic time for any choice of keys; after a capture, the first change
 * in each part of the map copies that part, a few hundred bytes.
 */
export function snapshotMap<V>(): SnapshotMap<V> {
  return new TreeMap<V>()
}

class TreeMap<V> implements SnapshotMap<V> {
  /** Nodes of generations above `shared` are nobody else's. */
  readonly #edit = { generation: 1, shared: 0 }
  /** The generations that unreleased views show. */
  readonly #captured = new Set<number>()
  /** The newest generation that an iteration of the map itself may still be reading. Nobody tells when it ends, so it never falls. */
  #iterated = 0
  #root: Node<V> = emptyLeaf(1)
  #size = 0

  get size(): number {
    return this.#size
  }

  get(key: string): V | undefined {
    return valueOf(this.#root, key)
  }

  has(key: string): boolean {
    return isIn(this.#root, key)
  }

  set(key: string, value: V): void {
    if (typeof key !== 'string') throw badOption('key', key, 'a string')
    const { root, added } = setInTree(this.#root, key, value, this.#edit)
    this.#root = root
    if (added) this.#size += 1
  }

  delete(key: string): boolean {
    // Looked up first: a key that is not there must not cost a copy.
    if (!isIn(this.#root, key)) return false
    this.#root = deleteFromTree(this.#root, key, this.#edit)
    this.#size -= 1
    return true
  }

  clear(): void {
    this.#root = emptyLeaf(this.#edit.generation)
    this.#size = 0
  }

  entries(range: KeyRange = {}): IterableIterator<readonly [string, V]> {
    this.#iterated = this.#share()
    return entriesOf(this.#root, range, () => undefined)
  }

  [Symbol.iterator](): IterableIterator<readonly [string, V]> {
    return this.entries()
  }

  capture(): CapturedMap<V> {
    const generation = this.#share()
    this.#captured.add(generation)
    return new TreeView(this.#root, this.#size, () => {
      this.#captured.delete(generation)
      let shared = this.#iterated
      for (const other of this.#captured) shared = Math.max(shared, other)
      // Nodes that only the released view showed are this map's own again.
      this.#edit.shared = shared
    })
  }

  /** Makes all present nodes shared, and begins a generation. Gives the one that ended. */
  #share(): number {
    const ended = this.#edit.generation
    this.#edit.shared = ended
    this.#edit.generation = ended + 1
    return ended
  }
}

class TreeView<V> implements CapturedMap<V> {
  readonly size: number
  readonly #onRelease: () => void
  #root: Node<V> | undefined

  constructor(root: Node<V>, size: number, onRelease: () => void) {
    this.#root = root
    this.size = size
    this.#onRelease = onRelease
  }

  get(key: string): V | undefined {
    return valueOf(this.#readable(), key)
  }

  has(key: string): boolean {
    return isIn(this.#readable(), key)
  }

  entries(range: KeyRange = {}): IterableIterator<readonly [string, V]> {
    return entriesOf(this.#readable(), range, () => void this.#readable())
  }

  [Symbol.iterator](): IterableIterator<readonly [string, V]> {
    return this.entries()
  }

  release(): void {
    if (this.#root === undefined) return
    this.#root = undefined
    this.#onRelease()
  }

  #readable(): Node<V> {
    if (this.#root !== undefined) return this.#root
    throw new KagamiError(
      'KAGAMI_SNAPSHOT_FAILED',
      'the captured map was read after its release: release it when all is read',
    )
  }
}

function valueOf<V>(root: Node<V>, key: string): V | undefined {
  const leaf = leafOf(root, key)
  const index = indexIn(leaf, key)
  return index < 0 ? undefined : leaf.values[index]
}

function isIn<V>(root: Node<V>, key: string): boolean {
  return indexIn(leafOf(root, key), key) >= 0
}

/** `check` throws where the nodes may have been changed since. */
function* entriesOf<V>(
  root: Node<V>,
  { from = '', to }: KeyRange,
  check: () => void,
): Generator<readonly [string, V], void, undefined> {
  let first = true
  check()
  for (const { keys, values } of leavesFrom(root, from)) {
    for (let index = first ? lowerBound(keys, from) : 0; index < values.length; index += 1) {
      const key = keys[index]!
      if (to !== undefined && key >= to) return
      yield [key, values[index]!]
      check()
    }
    first = false
  }
}
