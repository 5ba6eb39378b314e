/** The command line of one node of the service. */
import { parseArgs } from 'node:util'
import { UsageError, wholeNumber } from './command-line.js'

export interface NodeOptions {
  readonly dir: string
  readonly id: string
  readonly port: number
  readonly tokens: number
  readonly replicas: number
}

export const usage = 'usage: node dist/main.js --dir <folder> --id <name> [--port 8080] [--tokens 16] [--replicas 1]'

const text = { type: 'string' } as const

/** @throws UsageError */
export function parseOptions(args: readonly string[]): NodeOptions {
  const options = { dir: text, id: text, port: text, tokens: text, replicas: text }
  let given: { readonly [name in keyof typeof options]?: string | undefined }
  try {
    given = parseArgs({ args: [...args], options }).values
  } catch (error) {
    throw new UsageError((error as Error).message)
  }
  const { dir, id, port, tokens, replicas } = given
  if (!dir) throw new UsageError('--dir is missing; expected the folder that the nodes of this machine share')
  if (!id) throw new UsageError('--id is missing; expected a name that no other node has')
  return {
    dir,
    id,
    port: wholeNumber('port', port, { standard: 0, least: 0, most: 65_535 }),
    tokens: wholeNumber('tokens', tokens, { standard: 16, least: 1, most: 10_000 }),
    replicas: wholeNumber('replicas', replicas, { standard: 1, least: 0, most: 100 }),
  }
}
