/**
 * The TypeScript and JavaScript snippets of the READMEs. Each is type-checked against the packed packages; one whose first
 * line is `// runnable` is run as well, in an empty folder.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { shown } from '../lib/repository.mjs'
import { borrow, compile, node, writeTsconfig } from './consumer.mjs'

/** The languages that are ours, and the extension of a file that holds them. */
const extensions = { ts: 'ts', typescript: 'ts', mts: 'ts', js: 'js', javascript: 'js', mjs: 'js' }

/** The snippets of a text: `{ runnable, extension, code, line }`, with the line where the code begins. */
export function findSnippets(markdown) {
  const snippets = []
  let open
  for (const [index, line] of markdown.split('\n').entries()) {
    const fence = /^\s*(`{3,})\s*(\S*)/.exec(line)
    if (open === undefined && fence !== null) open = { ticks: fence[1], language: fence[2], lines: [], line: index + 2 }
    else if (open !== undefined && line.trim() === open.ticks) {
      if (Object.hasOwn(extensions, open.language)) {
        const runnable = /^\/\/ runnable\b/.test(open.lines[0] ?? '')
        snippets.push({ runnable, extension: extensions[open.language], code: open.lines.join('\n'), line: open.line })
      }
      open = undefined
    } else open?.lines.push(line)
  }
  return snippets
}

/** Resolves with `{ counts, problems, borrowed }`. `folder` has every package of the project installed. */
export async function checkSnippets(folder, readmes) {
  const problems = []
  const snippets = readmes
    .filter((path) => existsSync(path))
    .flatMap((path) =>
      findSnippets(readFileSync(path, 'utf8')).map((each) => ({ ...each, at: `${shown(path)}:${each.line}` })),
    )
  const sources = join(folder, 'snippets')
  mkdirSync(sources, { recursive: true })
  const borrowed = new Set()
  for (const [index, snippet] of snippets.entries()) {
    snippet.name = `snippet-${index + 1}`
    // `export {}` makes a module of a snippet that imports nothing; it adds no line above, so positions stay true.
    writeFileSync(join(sources, `${snippet.name}.${snippet.extension}`), `${snippet.code}\nexport {}\n`)
    for (const name of bareImports(snippet.code)) {
      if (!existsSync(join(folder, 'node_modules', name)) && borrow(folder, name)) borrowed.add(name)
    }
  }
  const counts = { compiled: snippets.length, run: 0 }
  if (snippets.length === 0) return { counts, problems, borrowed: [...borrowed] }

  writeTsconfig(folder, ['snippets'], 'out')
  const { code, text } = await compile(folder)
  if (code !== 0) problems.push(`READMEs: a snippet does not compile:\n${pointBack(text, snippets)}`)
  for (const snippet of snippets.filter(({ runnable }) => runnable)) {
    const file = join(folder, 'out', 'snippets', `${snippet.name}.js`)
    if (!existsSync(file)) continue
    const empty = join(folder, `run-${snippet.name}`)
    mkdirSync(empty)
    const result = await node(empty, [file])
    counts.run += 1
    if (result.code !== 0) problems.push(`${snippet.at}: the snippet ended with code ${result.code}:\n${result.text}`)
  }
  return { counts, problems, borrowed: [...borrowed] }
}

function bareImports(code) {
  const names = [...code.matchAll(/(?:from|import)\s*\(?\s*'([^'.][^']*)'/g)].map(([, source]) => source)
  return names
    .filter((source) => !source.startsWith('node:'))
    .map((source) => source.split('/', source.startsWith('@') ? 2 : 1).join('/'))
}

/** The compiler's positions in the written files, as positions in the READMEs. */
function pointBack(text, snippets) {
  return text.replace(/snippets\/(snippet-\d+)\.[jt]s\((\d+),/g, (_, name, line) => {
    const [, file, first] = /^(.*):(\d+)$/.exec(snippets.find((snippet) => snippet.name === name).at)
    return `${file}(${Number(first) + Number(line) - 1},`
  })
}
