import { isKagamiError } from '@kagami/core'
import { memoryCluster } from '@kagami/testkit'
import { expect, test } from 'vitest'
import { createKagami, openCluster, type ClusterDefaultOptions, type KagamiDefaultOptions } from '../src/index.js'

function right(): KagamiDefaultOptions {
  return {
    cluster: 'test',
    dir: './never-made',
    node: { id: 'a' },
    stateMachine: () => {
      throw new Error('no token is opened here')
    },
  }
}

/** The message with which the options are refused; `option` is what it is about. */
function refused(change: object): { readonly option: unknown; readonly message: string } {
  try {
    createKagami({ ...right(), ...change })
  } catch (error) {
    if (!isKagamiError(error, 'KAGAMI_BAD_OPTION')) throw error
    return { option: error.details['option'], message: error.message }
  }
  throw new Error('they are accepted')
}

test('options of its own that are wrong are refused by name, with their value and what would be right', () => {
  const folder = 'the path of a folder that the processes of this machine share'
  for (const [dir, shown] of [
    [undefined, 'undefined'],
    ['', '""'],
    [5, '5'],
    [null, 'null'],
  ]) {
    const { option, message } = refused({ dir })
    expect(option).toBe('dir')
    expect(message).toContain(`option dir is ${String(shown)}; expected ${folder}`)
  }
  for (const [sessionTimeoutMs, shown] of [
    [10, '10'],
    [2000.5, '2000.5'],
    ['2000', '"2000"'],
  ]) {
    expect(refused({ sessionTimeoutMs })).toEqual({
      option: 'sessionTimeoutMs',
      message: `option sessionTimeoutMs is ${String(shown)}; expected a whole number of milliseconds from 200 to 60000`,
    })
  }
})

test('a misspelt option is refused with the nearest name, of its own and of core alike', () => {
  for (const [misspelt, near] of [
    ['dri', 'dir'],
    ['sessionTimeout', 'sessionTimeoutMs'],
    ['snapshoting', 'snapshotting'],
  ] as const) {
    expect(refused({ [misspelt]: 5 }).message).toBe(`there is no option ${misspelt}; did you mean ${near}?`)
  }
  expect(refused({ limits: { lingerMS: 5 } })).toMatchObject({ option: 'limits.lingerMS' })
})

test('a log without a coordinator, and the other way round, is refused', () => {
  const world = memoryCluster()
  expect(refused({ log: world.commitLog() }).option).toBe('coordinator')
  expect(refused({ coordinator: world.coordinator() }).option).toBe('log')
})

test('an adapter that is none is refused, instead of being replaced by the default', () => {
  for (const adapter of ['log', 'coordinator', 'snapshots', 'placement']) {
    const world = memoryCluster()
    const given = { log: world.commitLog(), coordinator: world.coordinator(), [adapter]: null }
    expect(refused(given)).toMatchObject({
      option: adapter,
      message: expect.stringMatching(`^option ${adapter} is null; expected a `) as string,
    })
  }
})

test('an option that would be ignored is refused: the timeout of an embedded coordinator where another is given', () => {
  const world = memoryCluster()
  const engine = { log: world.commitLog(), coordinator: world.coordinator() }
  expect(refused({ ...engine, sessionTimeoutMs: 2000 })).toMatchObject({ option: 'sessionTimeoutMs' })
  expect(refused({ ...engine, snapshots: world.snapshotStore(), dir: 5 })).toMatchObject({ option: 'dir' })
})

test('options that are no object are refused', () => {
  const make = (options: unknown) => () => createKagami(options as KagamiDefaultOptions)
  for (const options of [undefined, null, 5, []]) {
    expect(make(options)).toThrow(expect.objectContaining({ code: 'KAGAMI_BAD_OPTION' }))
  }
})

test('what an administrator gives is checked like what a node is given, by name', async () => {
  const coordinator = memoryCluster().coordinator()
  for (const [wrong, message] of [
    [{ cluster: 'test' }, 'option dir is undefined; expected the path of a folder'],
    [{ dir: './never-made' }, 'option cluster is undefined; expected 1 to 100 letters'],
    [{ cluster: 'test', dri: '.' }, 'there is no option dri; did you mean dir?'],
    [{ cluster: 'test', dir: '' }, 'option dir is ""'],
    [{ cluster: 'test', dir: '.', sessionTimeoutMs: 5 }, 'option sessionTimeoutMs is 5; expected a whole number'],
    [{ cluster: 'test', coordinator, sessionTimeoutMs: 500 }, 'option sessionTimeoutMs is 500; expected nothing'],
    [{ cluster: 'test', dir: '.', coordinator: null }, 'option coordinator is null'],
    [{ cluster: 'test', dir: '.', snapshots: null }, 'option snapshots is null'],
  ] as const) {
    await expect(openCluster(wrong as unknown as ClusterDefaultOptions)).rejects.toMatchObject({
      code: 'KAGAMI_BAD_OPTION',
      message: expect.stringContaining(message),
    })
  }
})
