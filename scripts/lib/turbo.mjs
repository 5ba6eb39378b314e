/** Runs turbo's tasks: without telemetry, without a remote cache, and without writing to the user's home. */
import { join } from 'node:path'
import { run } from './child.mjs'
import { root } from './repository.mjs'
import { say } from './say.mjs'

const settings = {
  TURBO_TELEMETRY_DISABLED: '1',
  DO_NOT_TRACK: '1',
  TURBO_NO_UPDATE_NOTIFIER: '1',
  TURBO_CONFIG_DIR_PATH: join(root, 'node_modules', '.cache', 'turbo-config'),
}

/** Output goes where `output` says (see `run` in child.mjs). */
export function turbo(task, args, { env = {}, output = 'pass' } = {}) {
  const program = join(root, 'node_modules', 'turbo', 'bin', 'turbo')
  return run(process.execPath, [program, 'run', task, '--ui=stream', '--cache=local:rw', ...args], {
    cwd: root,
    env: { ...process.env, ...settings, ...env },
    output,
  })
}

/** Builds every package whose sources have changed since turbo last saw them. Silent where there is nothing to do. */
export async function build() {
  // Most builds come out of the cache within a second, and are not worth a word.
  const patience = setTimeout(() => say('Building…'), 1000)
  const { code, text } = await turbo('build', ['--output-logs=errors-only', '--concurrency=2'], {
    output: 'keep',
  }).finally(() => clearTimeout(patience))
  if (code !== 0) {
    process.stderr.write(text)
    throw new Error('The build failed, see above.')
  }
  const [, cached = '0', total = '0'] = /Cached:\s+(\d+) cached, (\d+) total/.exec(text) ?? []
  if (cached !== total) say(`Built ${total - cached} of ${total} packages.`)
}
