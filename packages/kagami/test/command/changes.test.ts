/** What the command changes of a cluster of real processes, and what it leaves behind. */
import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { folder, run, Running, Shop } from './shop.js'

test('handover, alter and remove take effect, and end when they have', async () => {
  const shop = await Shop.open(['a', 'b', 'c'])
  await shop.token('a', 'orders', { replicas: 1, primary: 'self' })
  const { tokens } = await shop.seen(({ ok }) => ok)
  const replica = tokens[0]!.copies[1]!.node

  const handed = await shop.kagami('handover', 'orders', '--to', replica, '--json')
  expect(handed).toMatchObject({ exitCode: 0, stderr: '', json: { token: 'orders', primary: replica, epoch: 2 } })
  expect((await shop.look(replica)).roles).toEqual({ orders: 'primary' })

  const altered = await shop.kagami('alter', 'orders', '--replicas', '2', '--failback', 'false', '--json')
  expect(altered).toMatchObject({ exitCode: 0, json: { token: 'orders', altered: { replicas: 2, failback: false } } })
  const { tokens: after } = await shop.seen(({ ok, tokens: [first] }) => ok && first?.wanted?.replicas === 2)
  expect(after[0]?.copies).toHaveLength(3)

  const spared = await shop.kagami('remove', 'orders')
  expect(spared).toMatchObject({ exitCode: 2, stdout: '' })
  expect(spared.stderr).toMatch(/^kagami: option --yes is undefined; expected it, since .* \(KAGAMI_BAD_OPTION\)$/m)
  expect((await shop.look(replica)).roles).toEqual({ orders: 'primary' })

  const removed = await shop.kagami('remove', 'orders', '--yes', '--json')
  expect(removed).toMatchObject({ exitCode: 0, json: { token: 'orders', removed: true } })
  expect(await shop.kagami('status', '--json')).toMatchObject({ exitCode: 0, json: { tokens: [] } })
  expect(await shop.kagami('remove', 'orders', '--yes')).toMatchObject({ exitCode: 1 })
})

test('what a token or the cluster can not have is refused with 2, by name, with what would be right', async () => {
  const shop = await Shop.open(['a', 'b'])
  await shop.token('a', 'orders', { replicas: 1 })
  for (const [args, message] of [
    [
      ['handover', 'orders', '--to', 'z'],
      'option to is "z"; expected the id of a live node that is not being drained: a, b',
    ],
    [['alter', 'orders', '--replicas', '-1'], 'option replicas is -1; expected a whole number of at least 0'],
    [['alter', 'orders', '--failover', 'never'], `option failover is "never"; expected 'promote' or 'hold'`],
    [['alter', 'orders', '--failback', 'true'], "option failback is true; expected nothing unless primary is 'self'"],
  ] as const) {
    const { exitCode, stderr, json } = await shop.kagami(...args, '--json')
    expect({ exitCode, stderr }).toEqual({ exitCode: 2, stderr: `kagami: ${message} (KAGAMI_BAD_OPTION)\n` })
    expect(json).toMatchObject({ error: { code: 'KAGAMI_BAD_OPTION', message } })
  }
})

test('nothing is left of a command: no member, no session, no socket, no file; whether it did its work, failed or was interrupted', async () => {
  const shop = await Shop.open(['a', 'b'])
  await shop.token('a', 'orders', { replicas: 1 })
  await shop.seen(({ ok }) => ok)
  for (const args of [
    ['status'],
    ['snapshots', 'orders'],
    ['alter', 'orders', '--replicas', '1'],
    ['handover', 'orders', '--to', 'z'],
    ['status', '--timeout-ms', '1'],
  ]) {
    const { pid } = await shop.kagami(...args)
    expect(await shop.tracesOf(pid), args.join(' ')).toEqual([])
  }
  // What is looked for is what a process has while it runs.
  expect(await shop.tracesOf(shop.nodes.get('a')!.pid!)).toHaveLength(3)
  expect((await shop.look('a')).members).toEqual(['a', 'b'])
})

test.each([
  ['a signal', [], 130, /^kagami: this was interrupted\. What was asked for may stand, .*\(KAGAMI_STOPPED\)$/m],
  [
    'its timeout',
    ['--timeout-ms', '1000'],
    1,
    /longer than --timeout-ms, 1000\. What was asked .*\(KAGAMI_TIMEOUT\)$/m,
  ],
] as const)(
  'a command that waits is ended by %s, says that what it has asked for stands, and it does',
  async (by, args, code, message) => {
    const shop = await Shop.open(['a', 'b'])
    await shop.token('a', 'orders', { replicas: 1 })
    const { tokens } = await shop.seen(({ ok }) => ok)
    const [primary, replica] = tokens[0]!.copies.map(({ node }) => node)
    // Frozen nodes carry out nothing, and are there until their sessions time out.
    for (const child of shop.nodes.values()) child.kill('SIGSTOP')
    const waiting = new Running(['handover', 'orders', '--to', replica!, ...shop.place, ...args])
    await shop.seen(({ tokens: [first] }) => first?.handover === replica)
    if (by === 'a signal') waiting.signal('SIGINT')
    const { pid, exitCode, stderr } = await waiting.ended
    expect(exitCode).toBe(code)
    expect(stderr).toMatch(message)
    expect(await shop.tracesOf(pid)).toEqual([])
    for (const child of shop.nodes.values()) child.kill('SIGCONT')
    const after = await shop.seen(({ ok, tokens: [first] }) => ok && first?.copies[0]?.node === replica)
    expect(after.tokens[0]?.copies[1]?.node).toBe(primary)
  },
)

test('a folder that is not there, or holds no such cluster, is told, and nothing is made', async () => {
  const dir = await folder()
  const missing = join(dir, 'missing')
  const file = join(dir, 'file')
  await writeFile(file, 'precious')
  for (const [where, message] of [
    [missing, `option dir is "${missing}"; expected the path of a folder that exists`],
    [dir, `option cluster is "shop"; expected the name of a cluster in the folder ${dir}; that folder holds none`],
    [file, `option dir is "${file}"; expected the path of a folder, and a part of it is a file`],
  ] as const) {
    const { exitCode, stderr, json } = await run('status', '--dir', where, '--cluster', 'shop', '--json')
    expect({ exitCode, stderr }).toEqual({ exitCode: 2, stderr: `kagami: ${message} (KAGAMI_BAD_OPTION)\n` })
    expect(json).toMatchObject({ error: { code: 'KAGAMI_BAD_OPTION', message } })
  }
  expect(await readdir(dir)).toEqual(['file'])
})

test('a module that exports the options says where the cluster is, with any adapters', async () => {
  const shop = await Shop.open(['a'])
  await shop.token('a', 'orders', { replicas: 0, primary: 'self' })
  await shop.ask('a', 'replicate', { token: 'orders', count: 15 })
  await shop.seen(({ ok, tokens }) => ok && tokens[0]?.snapshot !== null)
  const dir = JSON.stringify(shop.dir)
  const kagami = JSON.stringify(new URL('../../dist/', import.meta.url).href).slice(1, -1)
  const adapters = `import { embedded } from '${kagami}embedded.js'
import { fsSnapshotStore } from '${kagami}snapshot-fs.js'
const { log, coordinator } = embedded({ dir: ${dir}, mustExist: true })
const snapshots = fsSnapshotStore({ dir: ${dir} + '/snapshots', mustExist: true })
`
  for (const [name, text] of [
    ['default.mjs', `${adapters}export default { cluster: 'shop', log, coordinator, snapshots, node: { id: 'x' } }`],
    ['named.mjs', `${adapters}export const cluster = 'shop'\nexport { log, coordinator, snapshots }`],
    ['dir.mjs', `export const cluster = 'other', dir = ${dir}, stateMachine = () => undefined`],
  ] as const) {
    const config = join(shop.dir, name)
    await writeFile(config, text)
    const other = name === 'dir.mjs' ? ['--cluster', 'shop'] : []
    const { exitCode, json, stderr } = await run('status', '--config', config, '--json', ...other)
    expect({ exitCode, stderr }, name).toEqual({ exitCode: 0, stderr: '' })
    expect(json).toMatchObject({ cluster: 'shop', tokens: [{ token: 'orders', snapshot: { epoch: 1 } }] })
  }
  for (const [text, message] of [
    ['export const colour = 1', /there is no option export\.colour; expected one of/],
    ['export default 5', /option --config is ".*"; expected a module that exports createKagami's options/],
    ['throw new Error("never")', /option --config is ".*"; expected a module that can be imported: never/],
    [
      "export const cluster = 'shop', coordinator = {}",
      /option coordinator is {}; expected a coordinator with the methods/,
    ],
    [undefined, /option --config is ".*"; expected a module that can be imported/],
  ] as const) {
    const config = join(await folder(), 'config.mjs')
    if (text !== undefined) await writeFile(config, text)
    const { exitCode, stderr } = await run('status', '--config', config)
    expect(exitCode).toBe(2)
    expect(stderr).toMatch(message)
  }
})
