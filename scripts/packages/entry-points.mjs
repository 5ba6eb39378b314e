/** Tries every entry point as a user would: by import, by require, and by the compiler from both kinds of module. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { compile, node, writeTsconfig } from './consumer.mjs'

/** Resolves with the problems as sentences. `folder` has the packages of `entries` installed. */
export async function entryPointProblems(folder, entries) {
  const problems = []
  writeFileSync(
    join(folder, 'try.mjs'),
    `import { createRequire } from 'node:module'
const require = createRequire(import.meta.url)
const [entry] = process.argv.slice(2)
const imported = await import(entry)
const required = require(entry)
if (Object.keys(imported).length === 0) throw new Error('It exports nothing at run time.')
for (const key of Object.keys(imported)) {
  if (imported[key] !== required[key]) throw new Error('require() gives another ' + key + ' than import.')
}
`,
  )
  // Asked in a process of its own first, so that require() is not answered by what import has loaded.
  writeFileSync(
    join(folder, 'try.cjs'),
    `if (Object.keys(require(process.argv[2])).length === 0) throw new Error('It exports nothing.')\n`,
  )
  for (const entry of entries) {
    for (const [how, file] of [
      ['require', 'try.cjs'],
      ['import', 'try.mjs'],
    ]) {
      const { code, text } = await node(folder, [file, entry])
      if (code !== 0) problems.push(`${entry}: ${how} failed: ${firstError(text)}`)
    }
  }
  const lines = entries.map((entry, at) => `import * as m${at} from '${entry}'\nexport const e${at}: object = m${at}\n`)
  writeFileSync(join(folder, 'types.mts'), lines.join(''))
  writeFileSync(join(folder, 'types.cts'), lines.join(''))
  writeTsconfig(folder, ['types.mts', 'types.cts'])
  const { code, text } = await compile(folder)
  if (code !== 0) problems.push(`The types of the entry points do not resolve:\n${text}`)
  return problems
}

/** A stack says little about a package that can't be loaded; its first line says it. */
function firstError(text) {
  return text.split('\n').find((line) => /^\s*\w*Error\b/.test(line)) ?? text.trim()
}
