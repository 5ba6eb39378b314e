/** How entries are kept in step with the documents that hold them. */
import { expect, test } from 'vitest'
import type { CallOptions, Document, Session } from '../../src/contract/index.js'
import { assignmentDocument } from '../../src/engine/documents.js'
import { systemSeams } from '../../src/index.js'
import { Directory, DocumentTable } from '../../src/runtime/directory.js'

interface Entry {
  readonly token: string
  readonly copies: readonly string[]
}

const throws = (_: string, error: unknown): never => {
  throw error
}

const documents = (held: Readonly<Record<string, readonly Entry[]>>): ReadonlyMap<string, Document> =>
  new Map(
    Object.entries(held).map(([name, entries]) => [
      name,
      { name, version: 1, bytes: Buffer.from(JSON.stringify(entries)) },
    ]),
  )

const entry = (token: string, ...copies: string[]): Entry => ({ token, copies })

test('of a document that is written anew only those entries have changed that say something else', () => {
  const table = new DocumentTable<Entry>((bytes) => JSON.parse(Buffer.from(bytes).toString()) as Entry[])
  const first = documents({ x: [entry('a', '1', '2'), entry('b', '1'), entry('c')], y: [entry('d')] })
  expect(table.update(first, throws)).toEqual(new Set(['a', 'b', 'c', 'd']))
  const a = table.get('a')
  const second = documents({ x: [entry('e'), entry('b', '2'), entry('a', '1', '2')], y: [entry('d')] })
  expect(table.update(second, throws)).toEqual(new Set(['b', 'c', 'e']))
  expect(table.get('a')).toBe(a)
  expect(table.get('b')).toEqual(entry('b', '2'))
  expect(table.get('c')).toBeUndefined()
  expect([...table.values()].map(({ token }) => token).sort()).toEqual(['a', 'b', 'd', 'e'])
  // A document that is gone takes its entries along, and one that comes back brings them.
  expect(table.update(documents({ y: [entry('d')] }), throws)).toEqual(new Set(['a', 'b', 'e']))
  expect([...table.values()]).toEqual([entry('d')])
  expect(table.update(second, throws)).toEqual(new Set(['a', 'b', 'e']))
})

test('a controller that writes the same entries anew is told of as a change, of no token', async () => {
  const end = new AbortController()
  const name = 'assignments/00'
  const written = (controller: number, by: string): ReadonlyMap<string, Document> => {
    const bytes = assignmentDocument.encode({ controller, by, tokens: [] })
    return new Map([[name, { name, version: controller, bytes }]])
  }
  async function* watch(prefix: string, { signal }: CallOptions): AsyncGenerator<ReadonlyMap<string, Document>> {
    yield prefix === 'assignments/' ? written(1, 'a.1') : new Map()
    if (prefix === 'assignments/') yield written(2, 'b.1')
    while (!signal.aborted) await new Promise((resolve) => setTimeout(resolve, 5))
    throw signal.reason
  }
  const told: (string | undefined)[] = []
  const directory: Directory = new Directory(systemSeams(), (tokens) => {
    expect(tokens.size).toBe(0)
    told.push(directory.controller)
    if (told.length === 2) end.abort(new Error('over'))
  })
  await directory.follow({ watch } as unknown as Session, end.signal)
  expect(told).toEqual(['a.1', 'b.1'])
})
