/** Checks what the map can't show: that the tree stays flat and full, and that it copies no more than it must. */
import { describe, expect, test } from 'vitest'
import { deleteFromTree, emptyLeaf, leavesFrom, setInTree, WIDTH } from '../../src/state/tree.js'
import type { Edit, Node } from '../../src/state/tree.js'

const edit: Edit = { generation: 1, shared: 0 }

function grow(keys: Iterable<string>, root: Node<number> = emptyLeaf(1), by: Edit = edit): Node<number> {
  for (const key of keys) root = setInTree(root, key, 1, by).root
  return root
}

function shrink(keys: Iterable<string>, root: Node<number>, by: Edit = edit): Node<number> {
  for (const key of keys) root = deleteFromTree(root, key, by)
  return root
}

function numbered(count: number): string[] {
  return Array.from({ length: count }, (_, index) => String(index).padStart(8, '0'))
}

/** A fixed shuffle. */
function shuffled(keys: readonly string[]): string[] {
  const order = (key: string) => Math.imul(Number(key) + 1, 2654435761) >>> 0
  return [...keys].sort((a, b) => order(a) - order(b))
}

function nodesOf<V>(node: Node<V>): Node<V>[] {
  return [node, ...(node.children ?? []).flatMap(nodesOf)]
}

/** Throws unless the tree is well formed; gives its height. */
function heightOf<V>(node: Node<V>, from = '', to?: string): number {
  expect([...node.keys].sort()).toEqual(node.keys)
  expect(node.keys.every((key) => key >= from && (to === undefined || key < to))).toBe(true)
  if (node.children === undefined) {
    expect(node.values.length).toBe(node.keys.length)
    expect(node.keys.length).toBeLessThanOrEqual(WIDTH)
    return 1
  }
  expect(node.children.length).toBe(node.keys.length + 1)
  expect(node.children.length).toBeLessThanOrEqual(WIDTH)
  const bounds = [from, ...node.keys, to]
  const heights = node.children.map((child, index) => heightOf(child, bounds[index], bounds[index + 1]))
  expect(new Set(heights).size).toBe(1)
  return 1 + heights[0]!
}

describe('the tree', () => {
  test.each([
    ['ascending', (keys: string[]) => keys],
    ['descending', (keys: string[]) => [...keys].reverse()],
    ['in no order', shuffled],
  ])('stays flat and at least half full when keys come %s', (_name, order) => {
    const root = grow(order(numbered(20_000)))
    expect(heightOf(root)).toBeLessThanOrEqual(4)
    expect([...leavesFrom(root, '')].length).toBeLessThanOrEqual((20_000 / WIDTH) * 2)
  })

  test('packs its nodes when keys come ascending, as in a restore', () => {
    const root = grow(numbered(WIDTH * 100))
    expect([...leavesFrom(root, '')].length).toBe(100)
  })

  test('takes no more room after deletion than its entries need', () => {
    const keys = numbered(30_000)
    const kept = new Set(keys.filter((_, index) => index % 50 === 0))
    const root = shrink(shuffled(keys.filter((key) => !kept.has(key))), grow(shuffled(keys)))
    heightOf(root)
    expect([...leavesFrom(root, '')].flatMap((leaf) => leaf.keys)).toEqual([...kept])
    expect([...leavesFrom(root, '')].length).toBeLessThanOrEqual((kept.size / WIDTH) * 4)
    const empty = shrink(kept, root)
    expect(nodesOf(empty).length).toBe(1)
  })

  test('is well formed after every step of growing and shrinking from either end', () => {
    const keys = numbered(WIDTH * 6)
    for (const order of [keys, [...keys].reverse(), shuffled(keys)]) {
      let root = grow(keys)
      for (const key of order) {
        root = deleteFromTree(root, key, edit)
        heightOf(root)
      }
      expect(nodesOf(root).length).toBe(1)
    }
  })

  test('copies a path, and each node once, when what it holds is shared', () => {
    const before = grow(numbered(20_000))
    const shared: Edit = { generation: 2, shared: 1 }
    const old = new Set(nodesOf(before))
    const fresh = (root: Node<number>) => nodesOf(root).filter((node) => !old.has(node))
    const once = setInTree(before, '00000777', 2, shared).root
    expect(fresh(once).length).toBe(heightOf(before))
    const copies = fresh(once)
    const twice = setInTree(once, '00000777', 3, shared).root
    expect(fresh(twice)).toEqual(copies)
    expect(twice).toBe(once)
  })

  test('changes in place what nobody else sees', () => {
    const before = grow(numbered(20_000))
    const nodes = nodesOf(before)
    const after = setInTree(before, '00000777', 2, edit).root
    expect(nodesOf(after).every((node, index) => node === nodes[index])).toBe(true)
  })
})
