/** Command lines that are wrong, or ask for no cluster. */
import { isKagamiError } from '@kagami/core'
import { expect, test } from 'vitest'
import { readArguments } from '../../src/command/arguments.js'
import { help } from '../../src/command/help.js'
import { run } from './shop.js'

function refusal(line: string): string {
  try {
    readArguments(line.split(' ').filter((part) => part !== ''))
  } catch (error) {
    if (isKagamiError(error, 'KAGAMI_BAD_OPTION')) return error.message
    throw error
  }
  throw new Error('it is accepted')
}

test.each([
  [
    '',
    'option command is undefined; expected one of status, snapshots, handover, alter, remove, help, version; see kagami help',
  ],
  ['statu', 'option command is "statu"; expected one of status, '],
  ['status --dri x', 'there is no option --dri; did you mean --dir?'],
  ['status -d x', 'there is no option -d; expected one of --token, --watch, --dir'],
  ['status --replicas 2', 'there is no option --replicas; expected one of --token'],
  ['status --dir --cluster x', 'option --dir is undefined; expected a value: --dir DIR'],
  ['status --dir', 'option --dir is undefined; expected a value: --dir DIR'],
  ['status --dir=', 'option --dir is ""; expected a value: --dir DIR'],
  ['status --watch=yes', 'option --watch is "yes"; expected no value'],
  ['status orders', 'option argument is "orders"; expected nothing after kagami status but options'],
  ['handover --to b', 'option TOKEN is undefined; expected the name of a token: kagami handover TOKEN'],
  ['handover orders b', 'option argument is "b"; expected nothing after kagami handover TOKEN but options'],
])('kagami %s is refused: %s', (line, message) => {
  expect(refusal(line)).toContain(message)
})

test('options may stand anywhere, in both ways of writing, and a token may be called like an option', () => {
  const call = readArguments(['alter', '--dir=/a b', '--replicas', '-1', '--', '--yes'])
  expect([call.name, call.token, call.text('dir'), call.text('replicas')]).toEqual(['alter', '--yes', '/a b', '-1'])
  expect(readArguments(['remove', '--yes', 'orders']).flag('yes')).toBe(true)
  expect(readArguments(['status', '--help']).name).toBe('help')
})

test.each([
  [
    ['alter', 'orders', '--dir', '.', '--cluster', 'x'],
    'option alter is undefined; expected something to change: --replicas,',
  ],
  [['alter', 'orders', '--replicas', 'many'], 'option --replicas is "many"; expected a number'],
  [['alter', 'orders', '--failback', 'no'], 'option --failback is "no"; expected true or false'],
  [['handover', 'orders'], 'option --to is undefined; expected the id of the node that takes over'],
  [['status'], 'option --dir is undefined; expected the folder of the cluster, or give --config'],
  [['status', '--dir', '.'], "option --cluster is undefined; expected the cluster's name, as its nodes have it"],
  [['status', '--dir', '.', '--config', 'x'], 'option --dir is "."; expected nothing beside --config'],
  [['status', '--dir', '.', '--cluster', 'a b'], 'option cluster is "a b"; expected 1 to 100 letters'],
  [['status', '--timeout-ms', '0'], 'option --timeout-ms is 0; expected a number from 1 to 2147483647'],
  [['status', '--timeout-ms', '2147483648'], 'option --timeout-ms is 2147483648; expected a number from 1 to'],
])('kagami %j ends with 2, and one line that says what would be right', async (args, message) => {
  const { exitCode, stdout, stderr } = await run(...args)
  expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: '' })
  expect(stderr).toContain(`kagami: ${message}`)
  expect(stderr).toMatch(/^.* \(KAGAMI_BAD_OPTION\)\n$/)
})

test('help tells of every subcommand and option within 80 columns, and the version is that of the package', async () => {
  const text = help()
  expect(text.split('\n').filter((line) => line.length > 80)).toEqual([])
  for (const word of [
    'status',
    'snapshots TOKEN',
    '--watch',
    '--to NODE',
    '--yes',
    '--dir DIR',
    '--json',
    '--timeout-ms N',
  ])
    expect(text).toContain(word)
  expect(await run('help')).toMatchObject({ exitCode: 0, stdout: `${text}\n`, stderr: '' })
  const { default: manifest } = (await import('../../package.json', { with: { type: 'json' } })) as {
    default: { version: string }
  }
  expect(await run('--version')).toMatchObject({ exitCode: 0, stdout: `${manifest.version}\n` })
  expect(await run('version', '--json')).toMatchObject({ json: { version: manifest.version } })
  expect(await run('help', '--json')).toMatchObject({ json: { help: text } })
})
