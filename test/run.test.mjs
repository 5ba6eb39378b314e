/** The commands themselves: what they say to an old Node, and that nothing they start outlives them. */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { afterEach, describe, expect, test } from 'vitest'

const root = fileURLToPath(new URL('..', import.meta.url))
const runner = fileURLToPath(new URL('../scripts/run.mjs', import.meta.url))
const childModule = new URL('../scripts/lib/child.mjs', import.meta.url).href

test('an older Node is told which one is needed, and nothing else happens', () => {
  const pretend = `data:text/javascript,Object.defineProperty(process,'versions',{value:{...process.versions,node:'20.18.3'}})`
  const { status, stderr, stdout } = spawnSync(process.execPath, ['--import', pretend, runner, 'test'], {
    encoding: 'utf8',
  })
  expect(status).toBe(1)
  expect(stderr).toMatch(/needs Node 20\.19 or newer, and this is Node 20\.18\.3[^]*Install a current Node/)
  expect(stdout).toBe('')
})

test('an unknown job is answered with the list of jobs', () => {
  const { status, stderr } = spawnSync(process.execPath, [runner, 'tset'], { encoding: 'utf8', cwd: root })
  expect(status).toBe(2)
  for (const job of ['build', 'test', 'demo', 'bench', 'lint', 'check-packages']) expect(stderr).toContain(job)
})

describe('what a command starts ends with it', () => {
  // All three hold the same pipe, so its end tells that all have ended. The grandchild ignores what its parent heeds, as
  // a stuck test would.
  const grandchild = `
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP']) process.on(signal, () => {})
    setInterval(() => {}, 1000)
    console.log('up ' + process.pid)
    process.send('up')`
  const child = (leave) => `
    const { spawn } = require('node:child_process')
    const inner = spawn(process.execPath, ['-e', ${JSON.stringify(grandchild)}], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
    inner.once('message', () => { if (${leave}) process.exit(7) })`
  const parent = (leave) => `
    import { Interrupted, run } from ${JSON.stringify(childModule)}
    try {
      const { code } = await run(process.execPath, ['-e', ${JSON.stringify(child(leave))}])
      process.exitCode = code
    } catch (error) {
      process.exitCode = error instanceof Interrupted ? error.exitCode : 99
    }`

  const grandchildren = []
  afterEach(() => {
    for (const pid of grandchildren.splice(0)) {
      try {
        process.kill(pid, 'SIGKILL')
      } catch {
        // It is gone, as it should be.
      }
    }
  })

  async function start(leave) {
    const started = spawn(process.execPath, ['--input-type=module', '-e', parent(leave)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const [line] = await once(createInterface(started.stdout), 'line')
    grandchildren.push(Number(line.slice('up '.length)))
    return started
  }

  test.each([
    ['SIGTERM', 143],
    ['SIGINT', 130],
    ['SIGHUP', 129],
  ])('after %s', { timeout: 20_000 }, async (signal, code) => {
    const started = await start(false)
    started.kill(signal)
    const [exitCode] = await once(started, 'close')
    expect(exitCode).toBe(code)
  })

  test('also when the child ends by itself and leaves something behind', { timeout: 20_000 }, async () => {
    const started = await start(true)
    const [exitCode] = await once(started, 'close')
    expect(exitCode).toBe(7)
  })
})
