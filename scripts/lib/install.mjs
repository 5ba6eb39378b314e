/** Decides whether the dependencies are installed as the lock file says, and installs them. Never changes the lock file. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { run } from './child.mjs'
import { readJson, root } from './repository.mjs'
import { say } from './say.mjs'

/**
 * Compares the lock file with npm's own record of what it installed, which npm writes last of all. Undefined where
 * they agree, else the reason to install.
 */
export function reasonToInstall(folder = root) {
  const recordPath = join(folder, 'node_modules', '.package-lock.json')
  if (!existsSync(recordPath)) return 'nothing is installed yet'
  const installed = readJson(recordPath).packages
  const wanted = readJson(join(folder, 'package-lock.json')).packages
  for (const [path, entry] of Object.entries(wanted)) {
    if (path === '') continue
    const found = installed[path]
    // Optional packages are those of other platforms.
    if (found === undefined && (entry.optional === true || entry.peer === true)) continue
    if (found === undefined) return `${path} is missing`
    if (entry.link === true ? found.resolved !== entry.resolved : found.version !== entry.version) {
      return `${path} is ${found.version ?? found.resolved}, and should be ${entry.version ?? entry.resolved}`
    }
    if (entry.integrity !== found.integrity) return `${path} is another build than the lock file's`
  }
  for (const [path, entry] of Object.entries(wanted)) {
    if (entry.link === true && !existsSync(join(folder, path))) return `${path} is not linked`
  }
  return undefined
}

export async function install() {
  const reason = reasonToInstall()
  if (reason === undefined) return
  say(`Installing dependencies (npm ci): ${reason}. This takes about half a minute, once.`)
  const started = process.hrtime.bigint()
  // Development dependencies are what builds and tests, also where NODE_ENV says production.
  const { code } = await npm([
    'ci',
    '--include=dev',
    '--include=optional',
    '--no-audit',
    '--no-fund',
    '--loglevel=error',
  ])
  if (code !== 0) throw new Error('`npm ci` failed, see above. Mend what it names, then run the command again.')
  say(`Installed in ${Number((process.hrtime.bigint() - started) / 1_000_000n) / 1000} s.`)
}

/** Runs npm: the one that started this script where there is one, else the one on the path. */
export function npm(args, { cwd = root, env = process.env, output = 'stderr' } = {}) {
  // What an outer `npm --workspace …` sets would narrow the inner call, too.
  const inner = Object.fromEntries(
    Object.entries(env).filter(([name]) => !/^npm_config_(workspace|prefix|global|dry_run)/i.test(name)),
  )
  // Nor may its news of newer versions get among what is read of its output.
  inner['npm_config_update_notifier'] = 'false'
  const script = inner['npm_execpath']
  const own = script !== undefined && /npm-cli\.[cm]?js$/.test(script)
  return run(own ? process.execPath : 'npm', own ? [script, ...args] : args, { cwd, env: inner, output })
}
