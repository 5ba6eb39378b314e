/** Reads the command line. Starts nothing. */
import { parseArgs } from 'node:util'

/**
 * @param {readonly string[]} args
 * @param {readonly string[]} names of the benchmarks there are
 * @returns {{ json: boolean, markdown: boolean, help: boolean, only: readonly string[] | undefined, long: boolean, quick: boolean, dir: string | undefined }}
 * @throws an error whose message is for the user
 */
export function readOptions(args, names) {
  const { values } = parseArgs({
    args: [...args],
    options: {
      json: { type: 'boolean', default: false },
      markdown: { type: 'boolean', default: false },
      long: { type: 'boolean', default: false },
      quick: { type: 'boolean', default: false },
      only: { type: 'string', multiple: true },
      dir: { type: 'string' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
  const only = values.only?.flatMap((list) => list.split(',')).filter((name) => name !== '')
  const unknown = only?.find((name) => !names.includes(name))
  if (unknown !== undefined)
    throw new Error(`--only ${unknown}: there is no such benchmark; there are ${names.join(', ')}`)
  if (only?.length === 0) throw new Error(`--only needs names, of ${names.join(', ')}`)
  return { ...values, only, dir: values.dir }
}

/** @param {readonly { name: string, about: string }[]} benchmarks */
export function usage(benchmarks) {
  const list = benchmarks.map(({ name, about }) => `  ${name.padEnd(12)}${about}`)
  return `npm run bench -- [options]

  --only a,b    these alone:
${list.map((line) => `              ${line.trimStart()}`).join('\n')}
  --long        also those that take minutes
  --quick       fewer rounds: does it run at all, not how fast
  --dir folder  where to keep files meanwhile, on the disk to be measured; the system's folder for temporary files otherwise
  --json        one line of JSON, the last on standard output
  --markdown    the table in markdown`
}
