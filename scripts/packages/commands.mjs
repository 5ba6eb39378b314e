/** Tries every command that a package brings, as a user would: by its name, through npm, from where it is installed. */
import { npm } from '../lib/install.mjs'

/** Resolves with the problems as sentences. `folder` has the packages installed. */
export async function commandProblems(folder, packages) {
  const problems = []
  for (const { name, manifest } of packages) {
    for (const command of Object.keys(manifest.bin ?? {})) {
      for (const [args, expected] of [
        [['--version'], (text) => text.trim() === manifest.version],
        [['help'], (text) => text.startsWith(`usage: ${command} `)],
      ]) {
        // What is not installed must not be fetched in its place.
        const { code, text } = await npm(['exec', '--no', '--', command, ...args], { cwd: folder, output: 'keep' })
        if (code !== 0 || !expected(text))
          problems.push(`${name}: npx ${command} ${args.join(' ')} ended with code ${code} and said: ${text.trim()}`)
      }
    }
  }
  return problems
}
