/** The command that starts one node: what it refuses, and how it ends. */
import { spawn, type ChildProcess } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished, test } from 'vitest'
import { parseOptions } from '../src/options.js'
import { startKvNode } from '../src/service/kv-node.js'
import { eventually } from './support.js'

const MAIN = fileURLToPath(new URL('../dist/main.js', import.meta.url))
const PATIENCE_MS = 60_000

interface Command {
  readonly child: ChildProcess
  readonly ended: Promise<{ readonly code: number | null; readonly stdout: string; readonly stderr: string }>
  readonly said: () => string
}

function run(...args: readonly string[]): Command {
  const child = spawn(process.execPath, [MAIN, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  onTestFinished(() => void child.kill('SIGKILL'))
  let [stdout, stderr] = ['', '']
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  const ended = new Promise<Awaited<Command['ended']>>((resolve) => {
    child.once('close', (code) => resolve({ code, stdout, stderr }))
  })
  return { child, ended, said: () => stdout }
}

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'kv-main-'))
  onTestFinished(() => rmSync(path, { recursive: true, force: true }))
  return path
}

test.each([
  [['--id', 'a'], '--dir is missing; expected the folder that the nodes of this machine share'],
  [['--dir', 'd'], '--id is missing; expected a name that no other node has'],
  [['--dir', 'd', '--id', 'a', '--port', 'http'], '--port is http; expected a whole number from 0 to 65535'],
  [['--dir', 'd', '--id', 'a', '--tokens', '0'], '--tokens is 0; expected a whole number from 1 to 10000'],
  [['--dir', 'd', '--id', 'a', '--replicas=-1'], '--replicas is -1; expected a whole number from 0 to 100'],
  [['--dir', 'd', '--id', 'a', '--bogus'], "Unknown option '--bogus'"],
])('%j is refused with what would be right', async (args, message) => {
  const { code, stderr } = await run(...args).ended
  expect(stderr).toContain(message)
  expect(stderr).toContain('usage: node dist/main.js')
  expect(stderr).not.toContain('    at ')
  expect(code).toBe(2)
})

test(
  'what can not be used, a folder, a name or a port, is told without a stack',
  { timeout: PATIENCE_MS },
  async () => {
    const dir = folder()
    writeFileSync(join(dir, 'file'), '')
    const taken = createServer()
    await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve))
    onTestFinished(() => void taken.close())
    const { port } = taken.address() as AddressInfo
    for (const [args, message] of [
      [
        ['--dir', join(dir, 'file'), '--id', 'a'],
        /^KAGAMI_BAD_OPTION: option dir is .*; expected the path of a folder/,
      ],
      [['--dir', dir, '--id', 'a/b'], /^KAGAMI_BAD_OPTION: option node.id is "a\/b"; expected /],
      [['--dir', dir, '--id', 'a', '--port', String(port)], /^listen EADDRINUSE: address already in use/],
    ] as const) {
      const { code, stderr } = await run(...args).ended
      expect(stderr).toMatch(message)
      expect(stderr).not.toContain('    at ')
      expect(code).toBe(1)
    }
  },
)

test.each([
  ['as soon as it has begun', () => true],
  ['when it serves', ({ said }: Command) => said().includes('answers at')],
] as const)('it stops on Ctrl-C, %s, without a complaint', { timeout: PATIENCE_MS }, async (_, due) => {
  const dir = folder()
  const command = run('--dir', join(dir, 'data'), '--id', 'a', '--tokens', '2')
  // Before that nobody listens to the signal.
  await eventually(() => existsSync(join(dir, 'data')) && due(command), 'the moment for Ctrl-C', PATIENCE_MS)
  command.child.kill('SIGINT')
  const { code, stderr } = await command.ended
  expect([code, stderr]).toEqual([0, ''])
})

test('SIGTERM hands the primaries over before the node leaves', { timeout: PATIENCE_MS }, async () => {
  const dir = join(folder(), 'data')
  const leaving = run('--dir', dir, '--id', 'a', '--tokens', '4')
  await eventually(() => leaving.said().includes('answers at'), 'the node answers', PATIENCE_MS)
  const staying = await startKvNode(parseOptions(['--dir', dir, '--id', 'b', '--tokens', '4']))
  onTestFinished(() => staying.stop())
  const { kagami } = staying
  const having = (role: string): string[] =>
    kagami.health().copies.flatMap((copy) => (copy.role === role && copy.lag.caughtUp ? [copy.token] : []))
  await eventually(() => having('primary').length === 2 && having('replica').length === 2, 'all is spread', PATIENCE_MS)
  const taken = having('replica')
  const handovers: { readonly token: string; readonly members: readonly string[] }[] = []
  // The node leaves once its tokens are given to another, which may begin to serve them a moment later.
  kagami.on('promoting', ({ token }) =>
    handovers.push({
      token,
      members: kagami
        .members()
        .map(({ id }) => id)
        .sort(),
    }),
  )
  leaving.child.kill('SIGTERM')
  const { code, stderr } = await leaving.ended
  expect([code, stderr]).toEqual([0, ''])
  expect(handovers.map(({ token }) => token).sort()).toEqual(taken.sort())
  // After kill -9 they would come after the member has gone.
  expect(handovers.map(({ members }) => members)).toEqual(taken.map(() => ['a', 'b']))
  await eventually(() => having('primary').length === 4, 'all is served', PATIENCE_MS)
})
