/**
 * `npm run lint`: type-checks the tests (the build does so for the sources), runs ESLint, and looks for import cycles and for what is public
 * without a doc comment. All of them run, also when one fails. Options are passed to ESLint.
 */
import { join } from 'node:path'
import { run } from './lib/child.mjs'
import { importCycles } from './lib/cycles.mjs'
import { doorsOf, undocumented } from './lib/doc-comments.mjs'
import { root, shown, workspaces } from './lib/repository.mjs'

const failed = []

function findCycles() {
  const cycles = workspaces().flatMap(({ folder }) => importCycles(join(folder, 'src')))
  for (const cycle of cycles) {
    console.log(`Import cycle:\n  ${[...cycle, cycle[0]].map(shown).join('\n    imports ')}\n`)
  }
  return cycles.length === 0 ? 0 : 1
}

function findUndocumented() {
  const published = workspaces().filter(({ manifest }) => manifest.private !== true)
  const found = undocumented(published.flatMap(doorsOf))
  for (const { file, name, problem } of found) {
    const source = shown(file)
      .replace('/dist/', '/src/')
      .replace(/\.d\.ts$/, '.ts')
    console.log(`${source}: ${name} ${problem}`)
  }
  return found.length === 0 ? 0 : 1
}

async function tool(path, args) {
  const { code } = await run(process.execPath, [join(root, 'node_modules', path), ...args], { cwd: root })
  return code
}

async function step(name, work) {
  const code = await work()
  console.log(`${code === 0 ? 'ok    ' : 'FAILED'}  ${name}`)
  if (code !== 0) failed.push(name)
}

await step('types of the tests', () => tool('typescript/bin/tsc', ['-p', 'tsconfig.json']))
await step('ESLint', () => tool('eslint/bin/eslint.js', ['--max-warnings=0', ...process.argv.slice(2), '.']))
await step('no import cycles', findCycles)
await step('doc comments of what is public', findUndocumented)
process.exitCode = failed.length === 0 ? 0 : 1
