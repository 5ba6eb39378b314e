/** The clauses on addresses and identities: allocate, find, open, release. */
import assert from 'node:assert/strict'
import type { CommitLogWorld } from './commit-log-world.js'
import { isKagamiError } from '@kagami/core/contract'
import { rejectsWith, rejectsWithReason } from './expect.js'
import { allRecords, appendAll, none, numbered, openAt, openOn, openOne, texts } from './log-support.js'
import type { Case } from './runner.js'

export function addressCases(test: Case<CommitLogWorld>): void {
  allocateCases(test)
  findCases(test)
  openCases(test)
  releaseCases(test)

  test('a log takes records of at least 64 KiB, and says how many appends are worth having under way', async (_scope, world) => {
    const log = world.open('a')
    assert.ok(log.maxRecordBytes >= 65_536, `maxRecordBytes is ${log.maxRecordBytes}`)
    assert.ok(
      Number.isInteger(log.appendsInFlight) && log.appendsInFlight >= 1,
      `appendsInFlight is ${log.appendsInFlight}`,
    )
  })

  test('calls on addresses whose signal has aborted reject with the reason', async (scope, world) => {
    const { log, handle } = await openOne(scope, world)
    const reason = new Error('enough')
    const options = { signal: AbortSignal.abort(reason) }
    await rejectsWithReason(scope, log.allocate('orders', none, options), reason, 'allocate()')
    await rejectsWithReason(scope, log.find('orders', none, options), reason, 'find()')
    await rejectsWithReason(scope, log.open(handle.address, { ...options, token: 'orders' }), reason, 'open()')
    await rejectsWithReason(scope, log.release(handle.address, 0n, options), reason, 'release()')
  })
}

function allocateCases(test: Case<CommitLogWorld>): void {
  test('an allocated address is short, and its log is empty', async (scope, world) => {
    const { handle } = await openOne(scope, world)
    assert.ok(handle.address.length > 0 && Buffer.byteLength(handle.address) <= 200, `address ${handle.address}`)
    const { start, end } = await handle.range(scope.options)
    assert.equal(start, end)
  })

  test('allocate gives none of the addresses in use', async (scope, world) => {
    const log = await scope.start(world.open('a'), 'a')
    const inUse = new Set<string>()
    for (let i = 0; i < 8; i++) {
      const address = await log.allocate('orders', new Set(inUse), scope.options)
      assert.ok(!inUse.has(address), `${address} is in use`)
      inUse.add(address)
    }
  })

  test('allocate never gives a log that holds records, whoever asks', async (scope, world) => {
    const { logs, handles } = await openOn(scope, world, ['a', 'b'])
    await appendAll(scope, handles[0]!, ['taken'])
    for (const log of logs) {
      const address = await log.allocate('carts', none, scope.options)
      assert.notEqual(address, handles[0]!.address)
    }
  })

  test('what was allocated is there for every node, also after a restart', async (scope, world) => {
    const { logs, handles } = await openOn(scope, world, ['a', 'b'])
    const { address, identity } = handles[0]!
    for (const log of logs) await log.stop()
    const again = await scope.start(world.open('c'), 'c')
    assert.equal((await openAt(scope, again, address)).identity, identity)
  })

  test('two logs are apart: neither appends nor truncation touch the neighbour', async (scope, world) => {
    const { log, handle } = await openOne(scope, world)
    const other = await log.allocate('carts', new Set([handle.address]), scope.options)
    const neighbour = await openAt(scope, log, other, 'carts')
    await appendAll(scope, handle, numbered(10, 'orders'))
    await appendAll(scope, neighbour, numbered(10, 'carts'))
    await handle.truncate((await handle.range(scope.options)).end, scope.options)
    assert.deepEqual(texts(await allRecords(scope, neighbour)), numbered(10, 'carts'))
    assert.deepEqual(await allRecords(scope, handle), [])
  })

  test('tokens of any name have logs', async (scope, world) => {
    const log = await scope.start(world.open('a'), 'a')
    const inUse = new Set<string>()
    for (const token of ['a/b', '../x', ' ', '鏡', 'x'.repeat(300), 'a\nb', '.']) {
      const address = await log.allocate(token, new Set(inUse), scope.options)
      inUse.add(address)
      await appendAll(scope, await openAt(scope, log, address, token), [token])
      assert.ok((await log.find(token, none, scope.options)).includes(address), `find(${JSON.stringify(token)})`)
    }
  })

  test('clusters do not share logs', async (scope, world) => {
    const a = await scope.start(world.open('a'), 'a', 'one')
    const b = await scope.start(world.open('a'), 'a', 'two')
    const mine = await openAt(scope, a, await a.allocate('orders', none, scope.options))
    await appendAll(scope, mine, ['of one'])
    const theirs = await openAt(scope, b, await b.allocate('orders', none, scope.options))
    await appendAll(scope, theirs, ['of two'])
    assert.deepEqual(texts(await allRecords(scope, mine)), ['of one'])
    assert.deepEqual(texts(await allRecords(scope, theirs)), ['of two'])
    assert.equal((await b.find('orders', none, scope.options)).length, 1)
  })
}

function findCases(test: Case<CommitLogWorld>): void {
  test('find gives every log that holds records of the token and is not in use', async (scope, world) => {
    const { logs, handles } = await openOn(scope, world, ['a', 'b'])
    const [a, b] = [logs[0]!, logs[1]!]
    const first = handles[0]!
    await appendAll(scope, first, ['x'])
    const second = await openAt(scope, a, await a.allocate('orders', new Set([first.address]), scope.options))
    await appendAll(scope, second, ['y'])
    for (const log of [a, b]) {
      const found = await log.find('orders', none, scope.options)
      assert.ok(found.includes(first.address) && found.includes(second.address), `found only ${found.join(', ')}`)
      const others = await log.find('orders', new Set([first.address]), scope.options)
      assert.ok(!others.includes(first.address), 'found one that is in use')
      assert.ok(others.includes(second.address), `found only ${others.join(', ')}`)
    }
  })

  test('find sees what was appended before a restart', async (scope, world) => {
    const { log, handle } = await openOne(scope, world)
    await appendAll(scope, handle, ['x'])
    await log.stop()
    const again = await scope.start(world.open('b'), 'b')
    assert.ok((await again.find('orders', none, scope.options)).includes(handle.address))
  })

  test('find finds a log whose older records were truncated', async (scope, world) => {
    const { log, handle } = await openOne(scope, world)
    const offsets = await appendAll(scope, handle, numbered(5))
    await handle.truncate(offsets[4]!, scope.options)
    assert.ok((await log.find('orders', none, scope.options)).includes(handle.address))
  })
}

function openCases(test: Case<CommitLogWorld>): void {
  test('opening an address where no log is rejects with KAGAMI_LOG_REPLACED', async (scope, world) => {
    const { log, handle } = await openOne(scope, world)
    const opened = log.open(`${handle.address}-gone`, { ...scope.options, token: 'orders' })
    await rejectsWith(scope, opened, 'KAGAMI_LOG_REPLACED', 'open()')
  })

  test('the identity is short, and the same for every node, opening and restart', async (scope, world) => {
    const { logs, handles } = await openOn(scope, world, ['a', 'b'])
    const { address, identity } = handles[0]!
    assert.ok(identity.length > 0 && Buffer.byteLength(identity) <= 200, `identity ${identity}`)
    await appendAll(scope, handles[0]!, numbered(3))
    const again = await openAt(scope, logs[0]!, address)
    const restarted = await openAt(scope, await scope.start(world.open('a'), 'a'), address)
    for (const handle of [handles[1]!, again, restarted]) {
      assert.equal(handle.address, address)
      assert.equal(handle.identity, identity)
    }
  })

  test('closing one handle leaves the others alone', async (scope, world) => {
    const { log, handle } = await openOne(scope, world)
    const second = await openAt(scope, log, handle.address)
    await handle.close()
    await appendAll(scope, second, ['still here'])
    assert.deepEqual(texts(await allRecords(scope, second)), ['still here'])
  })
}

function releaseCases(test: Case<CommitLogWorld>): void {
  test('release drops what lies below, and never a record at or above', async (scope, world) => {
    const { logs, handles } = await openOn(scope, world, ['a', 'b'])
    const offsets = await appendAll(scope, handles[0]!, numbered(10))
    await logs[0]!.release(handles[0]!.address, offsets[6]!, scope.options)
    const again = await openAt(scope, logs[1]!, handles[0]!.address)
    assert.deepEqual(texts(await allRecords(scope, again)), numbered(10).slice(6))
    for (const log of logs) {
      const address = await log.allocate('carts', none, scope.options)
      assert.notEqual(address, handles[0]!.address, 'a released log that still holds records was given again')
    }
  })

  test('a released log is empty, its address can be allocated and used again', async (scope, world) => {
    const { logs, handles } = await openOn(scope, world, ['a', 'b'])
    const [a, b] = [logs[0]!, logs[1]!]
    await appendAll(scope, handles[0]!, numbered(10, 'old'))
    const { end } = await handles[0]!.range(scope.options)
    for (const handle of handles) await handle.close()
    await a.release(handles[0]!.address, end, scope.options)
    for (const [log, other] of [
      [b, a],
      [a, b],
    ] as const) {
      const address = await log.allocate('carts', none, scope.options)
      const handle = await openAt(scope, log, address, 'carts')
      const range = await handle.range(scope.options)
      assert.equal(range.start, range.end, 'an allocated log is not empty')
      await appendAll(scope, handle, ['new'])
      assert.deepEqual(texts(await allRecords(scope, await openAt(scope, other, address, 'carts'))), ['new'])
    }
  })

  test('a late release can not hurt a token that was given the same address since', async (scope, world) => {
    const { log, handle } = await openOne(scope, world)
    await appendAll(scope, handle, numbered(20, 'old'))
    const { end } = await handle.range(scope.options)
    await handle.close()
    await log.release(handle.address, end, scope.options)
    const address = await log.allocate('carts', none, scope.options)
    const successor = await openAt(scope, log, address, 'carts')
    await appendAll(scope, successor, numbered(3, 'new'))
    await log.release(handle.address, end, scope.options)
    assert.deepEqual(texts(await allRecords(scope, successor)), numbered(3, 'new'))
    // The address itself may be opened again without an allocation: what is appended there is as safe.
    const reopened = await log.open(handle.address, { ...scope.options, token: 'carts' }).catch((error: unknown) => {
      if (isKagamiError(error, 'KAGAMI_LOG_REPLACED')) return undefined
      throw error
    })
    if (reopened === undefined) return
    scope.defer(() => reopened.close())
    const [offset] = await appendAll(scope, reopened, ['newest'])
    await log.release(handle.address, end, scope.options)
    const { start } = await reopened.range(scope.options)
    assert.ok(start <= offset!, 'a late release dropped a new record')
  })

  test('release is idempotent, and a no-op where no log is', async (scope, world) => {
    const { log, handle } = await openOne(scope, world)
    await appendAll(scope, handle, numbered(3))
    const { end } = await handle.range(scope.options)
    for (let i = 0; i < 3; i++) await log.release(handle.address, end, scope.options)
    await log.release(`${handle.address}-gone`, 5n, scope.options)
  })
}
