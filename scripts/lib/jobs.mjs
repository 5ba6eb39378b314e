/** The jobs that `run.mjs` knows, and what each needs before it can start. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { Interrupted, run } from './child.mjs'
import { install } from './install.mjs'
import { root, shown } from './repository.mjs'
import { say } from './say.mjs'
import { failedBeforeTests, testJob } from './test-job.mjs'
import { build } from './turbo.mjs'

const jobs = {
  install: { about: 'install what package-lock.json names', needsBuild: false, start: () => 0 },
  build: { about: 'build every package', needsBuild: true, start: () => 0 },
  test: {
    about: 'run all tests, or those of the packages named',
    needsBuild: true,
    start: testJob,
    onFailure: failedBeforeTests,
  },
  demo: {
    about: 'the demonstration; takes its options',
    needsBuild: true,
    start: program('examples/02-replicated-kv/dist/demo/main.js'),
  },
  bench: { about: 'the benchmarks; takes their options', needsBuild: true, start: program('benchmarks/main.mjs') },
  lint: {
    about: 'type-check tests, ESLint, import cycles, doc comments',
    needsBuild: true,
    start: program('scripts/lint.mjs'),
  },
  'format-check': {
    about: 'is everything formatted?',
    needsBuild: false,
    start: program('node_modules/prettier/bin/prettier.cjs', ['--check', '.']),
  },
  'check-packages': {
    about: 'pack, install and try every package',
    needsBuild: true,
    start: program('scripts/check-packages.mjs'),
  },
}

/** Runs a job, and resolves with the exit code for the process. */
export async function runJob(name, args) {
  const job = Object.hasOwn(jobs, name ?? '') ? jobs[name] : undefined
  if (job === undefined) {
    const list = Object.entries(jobs).map(([key, { about }]) => `  ${key.padEnd(16)}${about}`)
    console.error(`Usage: node scripts/run.mjs <job> [options]\n\n${list.join('\n')}`)
    return 2
  }
  try {
    await install()
    if (job.needsBuild) await build()
    return await job.start(args)
  } catch (error) {
    if (error instanceof Interrupted) {
      say(error.message)
      return error.exitCode
    }
    say(error.message)
    job.onFailure?.()
    return 1
  }
}

/** A job that is a program of its own, with the terminal and the options passed on. */
function program(path, first = []) {
  return async (args) => {
    const file = join(root, path)
    if (!existsSync(file)) throw new Error(`${shown(file)} does not exist: the build makes no such file (yet).`)
    const { code } = await run(process.execPath, [file, ...first, ...args], {
      cwd: root,
      alone: false,
      stdin: 'inherit',
    })
    return code
  }
}
