/**
 * A B+ tree of string keys, ordered by UTF-16 code units, whose nodes are stamped with the generation that made them. A node newer
 * than the last shared generation belongs to the one map and is changed in place; an older one may be part of a captured view,
 * and is copied before it is changed. Keeps no state of its own: the root and the generations are the caller's.
 */

/** At most this many keys in a leaf, or children in an inner node. Small enough that copying one takes well under a microsecond. */
export const WIDTH = 32

export interface Node<V> {
  readonly generation: number
  /** A leaf's keys; an inner node's separators, one fewer than children: no key right of a separator is smaller. */
  readonly keys: string[]
  /** A leaf's values, beside its keys. Empty in an inner node. */
  readonly values: V[]
  /** Undefined in a leaf. */
  readonly children: Node<V>[] | undefined
}

/** Who writes: nodes of generations above `shared` may be changed, new ones are stamped with `generation`. */
export interface Edit {
  readonly generation: number
  readonly shared: number
}

interface Split<V> {
  readonly separator: string
  readonly right: Node<V>
}

export function emptyLeaf<V>(generation: number): Node<V> {
  return { generation, keys: [], values: [], children: undefined }
}

/** The leaf that the key is in, if it is anywhere. */
export function leafOf<V>(root: Node<V>, key: string): Node<V> {
  let node = root
  while (node.children !== undefined) node = node.children[childIndex(node.keys, key)]!
  return node
}

/** The key's index in a leaf, or -1. */
export function indexIn<V>({ keys }: Node<V>, key: string): number {
  const index = lowerBound(keys, key)
  return index < keys.length && keys[index] === key ? index : -1
}

/** The index of the first key that is not smaller. */
export function lowerBound(keys: readonly string[], key: string): number {
  let low = 0
  let high = keys.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (keys[middle]! < key) low = middle + 1
    else high = middle
  }
  return low
}

/** The index of the child that a key belongs to: the number of separators that are not greater. */
function childIndex(separators: readonly string[], key: string): number {
  let low = 0
  let high = separators.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (separators[middle]! <= key) low = middle + 1
    else high = middle
  }
  return low
}

/** Sets a key and gives the new root. `added` tells whether the key is new. */
export function setInTree<V>(root: Node<V>, key: string, value: V, edit: Edit): { root: Node<V>; added: boolean } {
  const own = owned(root, edit)
  const result = insert(own, key, value, edit, true)
  if (typeof result === 'boolean') return { root: own, added: result }
  const { generation } = edit
  return {
    root: { generation, keys: [result.separator], values: [], children: [own, result.right] },
    added: true,
  }
}

/** `node` is owned. Gives whether the key is new, or, where it is and the node had to be split, the right half. */
function insert<V>(node: Node<V>, key: string, value: V, edit: Edit, rightmost: boolean): boolean | Split<V> {
  const { children } = node
  if (children === undefined) return insertIntoLeaf(node, key, value, edit, rightmost)
  const index = childIndex(node.keys, key)
  const child = owned(children[index]!, edit)
  children[index] = child
  const result = insert(child, key, value, edit, rightmost && index === children.length - 1)
  if (typeof result === 'boolean') return result
  insertAt(node.keys, index, result.separator)
  insertAt(children, index + 1, result.right)
  if (children.length <= WIDTH) return true
  const at = splitPoint(children.length, rightmost && index === children.length - 2)
  const right = { generation: edit.generation, keys: node.keys.splice(at), values: [], children: children.splice(at) }
  // The separator between the halves goes up.
  return { separator: node.keys.pop()!, right }
}

function insertIntoLeaf<V>(leaf: Node<V>, key: string, value: V, edit: Edit, rightmost: boolean): boolean | Split<V> {
  const { keys, values } = leaf
  const index = lowerBound(keys, key)
  if (index < keys.length && keys[index] === key) {
    values[index] = value
    return false
  }
  insertAt(keys, index, key)
  insertAt(values, index, value)
  if (keys.length <= WIDTH) return true
  const at = splitPoint(keys.length, rightmost && index === keys.length - 1)
  const right = { generation: edit.generation, keys: keys.splice(at), values: values.splice(at), children: undefined }
  return { separator: right.keys[0]!, right }
}

/** Halves; but where keys come in ascending order, as in a restore, the left node stays full. */
function splitPoint(length: number, appending: boolean): number {
  return appending ? length - 1 : length >>> 1
}

/** Deletes a key that is there, and gives the new root. */
export function deleteFromTree<V>(root: Node<V>, key: string, edit: Edit): Node<V> {
  let own = owned(root, edit)
  remove(own, key, edit)
  while (own.children !== undefined && own.children.length <= 1) {
    own = own.children[0] ?? emptyLeaf(edit.generation)
  }
  return own
}

/** `node` is owned, and the key is below it. */
function remove<V>(node: Node<V>, key: string, edit: Edit): void {
  const { keys, values, children } = node
  if (children === undefined) {
    const at = lowerBound(keys, key)
    keys.splice(at, 1)
    values.splice(at, 1)
    return
  }
  const index = childIndex(keys, key)
  const child = owned(children[index]!, edit)
  children[index] = child
  remove(child, key, edit)
  const size = sizeOf(child)
  if (size >= WIDTH / 2) return
  if (size === 0) {
    children.splice(index, 1)
    keys.splice(Math.max(0, index - 1), 1)
    return
  }
  // Neighbours that fit into one node become one, so a tree that shrank takes little more room than one that was always small.
  if (index > 0 && sizeOf(children[index - 1]!) + size <= WIDTH) merge(node, index - 1, edit)
  else if (index + 1 < children.length && sizeOf(children[index + 1]!) + size <= WIDTH) merge(node, index, edit)
}

/** Moves all of child `index + 1` of an owned node into child `index`. */
function merge<V>(node: Node<V>, index: number, edit: Edit): void {
  const children = node.children!
  const left = owned(children[index]!, edit)
  const right = children[index + 1]!
  children[index] = left
  if (left.children !== undefined) left.keys.push(node.keys[index]!)
  left.keys.push(...right.keys)
  left.values.push(...right.values)
  left.children?.push(...right.children!)
  node.keys.splice(index, 1)
  children.splice(index + 1, 1)
}

function sizeOf<V>(node: Node<V>): number {
  return node.children === undefined ? node.values.length : node.children.length
}

/** The node itself where it may be changed, else a copy that may. */
function owned<V>(node: Node<V>, edit: Edit): Node<V> {
  if (node.generation > edit.shared) return node
  return {
    generation: edit.generation,
    keys: node.keys.slice(),
    values: node.values.slice(),
    children: node.children?.slice(),
  }
}

function insertAt<T>(array: T[], index: number, item: T): void {
  array.push(item)
  // Faster than splice, which also makes an array of what it removed.
  for (let at = array.length - 1; at > index; at -= 1) array[at] = array[at - 1]!
  array[index] = item
}

/** The leaves from the one where `from` belongs, in order. The tree must not change meanwhile. */
export function* leavesFrom<V>(root: Node<V>, from: string): Generator<Node<V>, void, undefined> {
  const path: { readonly node: Node<V>; next: number }[] = []
  let node = root
  let seek = true
  for (;;) {
    while (node.children !== undefined) {
      const index = seek ? childIndex(node.keys, from) : 0
      path.push({ node, next: index + 1 })
      node = node.children[index]!
    }
    seek = false
    yield node
    while (path.length > 0 && path[path.length - 1]!.next >= path[path.length - 1]!.node.children!.length) path.pop()
    const top = path[path.length - 1]
    if (top === undefined) return
    node = top.node.children![top.next]!
    top.next += 1
  }
}
