import { expect, test } from 'vitest'
import { KagamiError, type Document, type Session } from '../../src/contract/index.js'
import { assignmentDocument, bucketOf, type Assignment } from '../../src/engine/documents.js'
import { AssignmentTable } from '../../src/runtime/assignment-table.js'

const assignment: Assignment = {
  token: 'orders',
  incarnation: 1,
  phase: 'open',
  log: { address: 'log-1', identity: 'first' },
  epoch: 2,
  reached: { incarnation: 1, index: 0 },
  primary: { node: 'b', member: 'b1' },
  replicas: ['a'],
  snapshotter: 'a',
  handoverGivenUp: null,
}
const bucket = bucketOf('orders')
const path = `assignments/${bucket}`

/** Documents that a test may put back to whatever it likes. */
class Documents {
  document: Document | undefined
  readonly session = {
    watch: () => [new Map(this.document === undefined ? [] : [[path, this.document]])],
    read: () => Promise.resolve(this.document),
    write: (name: string, bytes: Uint8Array, expected: number | undefined) => {
      if (this.document?.version !== expected)
        return Promise.reject(new KagamiError('KAGAMI_VERSION_CONFLICT', 'another version'))
      this.document = { name, version: (expected ?? 0) + 1, bytes }
      return Promise.resolve(this.document.version)
    },
  } as unknown as Session

  put(version: number, controller: number, tokens: readonly Assignment[]): void {
    this.document = { name: path, version, bytes: assignmentDocument.encode({ controller, tokens }) }
  }

  get shown(): ReadonlyMap<string, Document> {
    return new Map(this.document === undefined ? [] : [[path, this.document]])
  }

  get content(): { readonly controller: number; readonly tokens: readonly Assignment[] } {
    return assignmentDocument.decode(this.document?.bytes ?? new Uint8Array(0), path)
  }
}

const older: Assignment = { ...assignment, epoch: 1, primary: { node: 'a', member: 'a1' }, replicas: ['b'] }

async function ruling(documents: Documents, over = (session: Session): Session => session): Promise<AssignmentTable> {
  documents.put(7, 3, [older])
  const { signal } = new AbortController()
  const table = await AssignmentTable.takeOver(over(documents.session), { epoch: 5, member: 'c1' }, signal)
  await table.put([assignment])
  return table
}

test('a document that has gone back to an older version is written anew', async () => {
  const documents = new Documents()
  const table = await ruling(documents)
  expect(table.behind(documents.shown)).toEqual([])
  documents.put(4, 2, [older])
  expect(table.behind(documents.shown)).toEqual([bucket])
  await table.renew(bucket)
  expect(documents.content).toMatchObject({ controller: 5, tokens: [assignment] })
  await table.put([{ ...assignment, epoch: 3 }])
  expect(documents.content.tokens[0]?.epoch).toBe(3)
})

test.each([
  ['can not be read', new Uint8Array(0)],
  ['is as it was before its last change', assignmentDocument.encode({ controller: 3, tokens: [older] })],
])('a document that %s, under the version that was written, is written anew, under the next one', async (_, bytes) => {
  const documents = new Documents()
  const table = await ruling(documents)
  const { version } = documents.document!
  expect(table.damaged(documents.shown)).toEqual([])
  documents.document = { name: path, version, bytes }
  expect(table.damaged(documents.shown)).toEqual([bucket])
  await table.renew(bucket)
  expect(documents.document.version).toBe(version + 1)
  expect(documents.content).toMatchObject({ controller: 5, tokens: [assignment] })
  expect(table.damaged(documents.shown)).toEqual([])
  expect(table.contradicts(documents.shown)).toBe(false)
})

test('S9: what a later controller has written under the same version, after the coordinator had lost its data, is left as it is', async () => {
  const documents = new Documents()
  const table = await ruling(documents)
  documents.put(documents.document!.version, 6, [older])
  await expect(table.renew(bucket)).rejects.toMatchObject({ code: 'KAGAMI_VERSION_CONFLICT' })
  expect(documents.content).toMatchObject({ controller: 6, tokens: [older] })
  const bytes = Buffer.from(JSON.stringify({ format: 2, what: 'assignments' }))
  documents.document = { ...documents.document!, bytes }
  await expect(table.renew(bucket)).rejects.toMatchObject({ code: 'KAGAMI_UNKNOWN_FORMAT' })
  expect(documents.document.bytes).toBe(bytes)
})

test('a damaged document that is written while it is looked at is left to that write', async () => {
  const documents = new Documents()
  let answer = (): void => undefined
  const table = await ruling(documents, (session) =>
    Object.assign(Object.create(session) as Session, {
      read: async () => {
        const found = documents.document
        await new Promise<void>((resolve) => (answer = resolve))
        return found
      },
    }),
  )
  documents.document = { ...documents.document!, bytes: new Uint8Array(0) }
  const renewed = table.renew(bucket)
  await table.put([{ ...assignment, epoch: 3 }])
  const { version } = documents.document
  answer()
  await renewed
  expect(documents.document.version).toBe(version)
  expect(documents.content.tokens[0]?.epoch).toBe(3)
})

test('S9: who was deposed before it has taken over takes over nothing that a later controller has written', async () => {
  const documents = new Documents()
  documents.put(7, 3, [older])
  const { session } = documents
  let later = true
  const overtaken = Object.assign(Object.create(session) as Session, {
    write: (...call: Parameters<Session['write']>) => {
      // Another one is elected, and writes, while this one's first write is under way.
      if (later) documents.put(8, 6, [assignment])
      later = false
      return session.write(...call)
    },
  })
  const { signal } = new AbortController()
  const deposed = { code: 'KAGAMI_VERSION_CONFLICT' }
  await expect(AssignmentTable.takeOver(overtaken, { epoch: 5, member: 'c1' }, signal)).rejects.toMatchObject(deposed)
  await expect(AssignmentTable.takeOver(session, { epoch: 5, member: 'c1' }, signal)).rejects.toMatchObject(deposed)
  expect(documents.document?.version).toBe(8)
  expect(documents.content).toMatchObject({ controller: 6, tokens: [assignment] })
})

test('a document whose bytes are damaged keeps a controller from ruling, unless it is to write it anew, under the next version', async () => {
  const documents = new Documents()
  const damage = (): void => {
    documents.document = { name: path, version: 7, bytes: new Uint8Array(0) }
  }
  damage()
  const { signal } = new AbortController()
  const ruler = { epoch: 5, member: 'c1' }
  const bad = { code: 'KAGAMI_BAD_DOCUMENT' }
  await expect(AssignmentTable.takeOver(documents.session, ruler, signal)).rejects.toMatchObject(bad)
  expect(documents.document).toMatchObject({ version: 7, bytes: new Uint8Array(0) })
  const lost: string[] = []
  const anew = { ...ruler, anew: true }
  await AssignmentTable.takeOver(documents.session, anew, signal, (name) => lost.push(name))
  expect(documents.document?.version).toBe(8)
  expect(documents.content).toMatchObject({ controller: 5, tokens: [] })
  expect(lost).toEqual([path])
})

test('S9: who writes a damaged document anew is deposed by a later controller all the same', async () => {
  const documents = new Documents()
  documents.document = { name: path, version: 7, bytes: new Uint8Array(0) }
  const { session } = documents
  const overtaken = Object.assign(Object.create(session) as Session, {
    write: (...call: Parameters<Session['write']>) => {
      // The later one has written it while this one's write was under way.
      if (documents.document?.version === 7) documents.put(8, 6, [assignment])
      return session.write(...call)
    },
  })
  const { signal } = new AbortController()
  await expect(
    AssignmentTable.takeOver(overtaken, { epoch: 5, member: 'c1', anew: true }, signal),
  ).rejects.toMatchObject({ code: 'KAGAMI_VERSION_CONFLICT' })
  expect(documents.document?.version).toBe(8)
  expect(documents.content).toMatchObject({ controller: 6, tokens: [assignment] })
})

test('a document of a newer format is not written anew', async () => {
  const documents = new Documents()
  const bytes = Buffer.from(JSON.stringify({ format: 2, what: 'assignments' }))
  documents.document = { name: path, version: 7, bytes }
  const { signal } = new AbortController()
  await expect(
    AssignmentTable.takeOver(documents.session, { epoch: 5, member: 'c1', anew: true }, signal),
  ).rejects.toMatchObject({ code: 'KAGAMI_UNKNOWN_FORMAT' })
  expect(documents.document?.version).toBe(7)
})

test('S9: a document that a later controller has written is left as it is, though its version is lower', async () => {
  const documents = new Documents()
  const table = await ruling(documents)
  documents.put(4, 6, [older])
  await expect(table.renew(bucket)).rejects.toMatchObject({ code: 'KAGAMI_VERSION_CONFLICT' })
  expect(documents.content).toMatchObject({ controller: 6, tokens: [older] })
})

test('S9: a new controller rewrites every document, which kills the versions that its predecessor holds', async () => {
  const documents = new Documents()
  const former = await ruling(documents)
  const before = documents.document?.version ?? 0
  const { signal } = new AbortController()
  const successor = await AssignmentTable.takeOver(documents.session, { epoch: 6, member: 'd1' }, signal)
  expect(documents.document?.version).toBeGreaterThan(before)
  expect(documents.content).toMatchObject({ controller: 6, by: 'd1', tokens: [assignment] })
  expect(former.contradicts(documents.shown)).toBe(true)
  expect(successor.contradicts(documents.shown)).toBe(false)
  await expect(former.put([{ ...assignment, epoch: 9 }])).rejects.toMatchObject({ code: 'KAGAMI_VERSION_CONFLICT' })
  expect(successor.get('orders')?.epoch).toBe(2)
  await successor.put([{ ...assignment, epoch: 3 }])
  expect(documents.content.tokens[0]?.epoch).toBe(3)
})
