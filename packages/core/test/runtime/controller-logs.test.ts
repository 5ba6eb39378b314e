/** Which log the controller gives a token: never one that another token has, at no time, whatever is created at once. */
import { expect, test } from 'vitest'
import type { CommitLog, Coordinator, Session, TokenLog } from '../../src/contract/index.js'
import { assignmentDocument } from '../../src/engine/documents.js'
import type { Kagami } from '../../src/index.js'
import type { Ledger } from './harness.js'
import { bytes, delegate, eventually, TestCluster } from './harness.js'

const names = ['one', 'two', 'three']

/** The logs that the coordinator's documents give to more than one token. */
function shared(cluster: TestCluster): string[] {
  const given: string[] = []
  for (const { name, bytes } of cluster.world.coordination.documents('test').values()) {
    if (!name.startsWith('assignments/')) continue
    for (const { phase, log } of assignmentDocument.decode(bytes, name).tokens)
      if (phase !== 'gone') given.push(log.address)
  }
  return given.filter((address, i) => given.indexOf(address) < i)
}

/** A node that looks after each of its writes whether two tokens share a log, and the logs of which it did find that. */
async function watched(cluster: TestCluster, log: CommitLog): Promise<{ node: Kagami<number>; found: string[] }> {
  const found: string[] = []
  const coordinator = cluster.world.coordinator({ sessionTimeoutMs: 500 })
  const node = await cluster.start('a', {
    log,
    coordinator: delegate<Coordinator>(coordinator, {
      connect: async (options: Parameters<Coordinator['connect']>[0]) => {
        const session = await coordinator.connect(options)
        return delegate<Session>(session, {
          write: async (...write: Parameters<Session['write']>) => {
            const version = await session.write(...write)
            found.push(...shared(cluster))
            return version
          },
        })
      },
    }),
  })
  return { node, found }
}

/** A log that takes no append while it is held. */
function heldAppends(log: CommitLog): {
  readonly log: CommitLog
  readonly hold: () => void
  readonly release: () => void
} {
  let release = (): void => undefined
  let held: Promise<void> | undefined
  const open = async (...call: Parameters<CommitLog['open']>): Promise<TokenLog> => {
    const opened = await log.open(...call)
    return delegate<TokenLog>(opened, {
      append: async (...append: Parameters<TokenLog['append']>) => {
        await held
        return opened.append(...append)
      },
    })
  }
  return {
    log: delegate<CommitLog>(log, { open }),
    hold: () => void (held = new Promise((resolve) => (release = resolve))),
    release: () => release(),
  }
}

async function allServe(cluster: TestCluster, node: Kagami<number>, tokens: readonly string[]): Promise<void> {
  for (const name of tokens) {
    const token = await eventually(() => node.get(name)?.role === 'primary' && node.get(name), `${name} serves`)
    await token.replicate(bytes(`to ${name}`))
    expect((token.state as Ledger).lines).toEqual([`to ${name}`])
  }
  expect(shared(cluster)).toEqual([])
}

test('tokens that are created at once, and are offered the same empty log, are not given it both', async () => {
  await using cluster = new TestCluster()
  const log = cluster.world.commitLog()
  const offered: string[] = []
  let allHave: () => void = () => undefined
  const asked = new Promise<void>((resolve) => (allHave = resolve))
  const allocate = async (...call: Parameters<CommitLog['allocate']>): Promise<string> => {
    const address = await log.allocate(...call)
    offered.push(address)
    if (offered.length === names.length) allHave()
    await asked
    return address
  }
  const { node, found } = await watched(cluster, delegate<CommitLog>(log, { allocate }))
  await Promise.all(names.map((name) => node.token(name, { replicas: 0 })))
  expect(new Set(offered.slice(0, names.length)).size).toBe(1)
  expect(found).toEqual([])
  await allServe(cluster, node, names)
})

test('a log that was given to a token is given to no other, though nothing is in it yet', async () => {
  await using cluster = new TestCluster()
  const { log, hold, release } = heldAppends(cluster.world.commitLog())
  const { node, found } = await watched(cluster, log)
  hold()
  const tokens: Promise<unknown>[] = []
  for (const name of names) {
    tokens.push(node.token(name, { replicas: 0 }))
    await eventually(() => cluster.assignment(name)?.phase === 'opening', `${name} has a log`)
  }
  expect(found).toEqual([])
  release()
  await Promise.all(tokens)
  await allServe(cluster, node, names)
})

test('documents that give one empty log to two tokens are corrected before anything is in it', async () => {
  await using cluster = new TestCluster()
  const { log, hold, release } = heldAppends(cluster.world.commitLog())
  const node = await cluster.start('a', { log })
  hold()
  const tokens = names.map((name) => node.token(name, { replicas: 0 }).catch((error: unknown) => error))
  await eventually(() => names.every((name) => cluster.assignment(name)?.phase === 'opening'), 'all have logs')
  const taken = cluster.assignment('one')?.log
  cluster.reassign('two', (assignment) => ({ ...assignment, log: taken ?? assignment.log }))
  expect(shared(cluster)).toEqual([taken?.address])
  release()
  await Promise.all(tokens)
  await allServe(cluster, node, names)
})
