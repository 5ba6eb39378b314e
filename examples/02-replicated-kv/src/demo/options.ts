/** The demonstration's command line. Refuses what could not show anything. */
import { parseArgs } from 'node:util'
import { UsageError, wholeNumber } from '../command-line.js'

export interface DemoOptions {
  readonly nodes: number
  readonly tokens: number
  /** Copies besides the primary. */
  readonly replicas: number
  /** How long the whole takes, about. */
  readonly seconds: number
  readonly kills: number
  /** Print the verdict as one line of JSON, the last on standard output. */
  readonly json: boolean
  readonly keys: number
  readonly clients: number
  /** Operations per second that the clients aim at, all together. */
  readonly rate: number
  readonly seed: number
}

const numbers = {
  nodes: { standard: 3, least: 1, most: 12, about: 'processes of the service' },
  tokens: { standard: 16, least: 1, most: 256, about: 'units of state' },
  replicas: { standard: 1, least: 0, most: 11, about: 'copies of each token besides its primary' },
  seconds: { standard: 30, least: 5, most: 3600, about: 'how long it takes, about' },
  kills: { standard: 1, least: 0, most: 100, about: 'times that a node is killed with kill -9' },
  keys: { standard: 1000, least: 1, most: 1_000_000, about: 'keys that are read and written' },
  clients: { standard: 24, least: 1, most: 512, about: 'clients' },
  rate: { standard: 1500, least: 1, most: 100_000, about: 'operations per second that the clients aim at' },
  seed: { standard: 1, least: 0, most: 2 ** 31, about: 'makes the clients choose the same keys again' },
} as const

type NumberName = keyof typeof numbers

export const usage = [
  'usage: npm run demo -- [options]',
  '',
  ...Object.entries(numbers).map(([name, { standard, about }]) => `  --${name.padEnd(10)} ${about} (${standard})`),
  `  --${'json'.padEnd(10)} print the verdict as one line of JSON, the last on standard output`,
].join('\n')

/** @throws UsageError */
export function parseOptions(args: readonly string[]): DemoOptions {
  const config = Object.fromEntries(Object.keys(numbers).map((name) => [name, { type: 'string' as const }]))
  let given: Readonly<Record<string, string | boolean | undefined>>
  try {
    given = parseArgs({ args: [...args], options: { ...config, json: { type: 'boolean' } }, strict: true }).values
  } catch (error) {
    throw new UsageError((error as Error).message)
  }
  const number = (name: NumberName): number => wholeNumber(name, given[name], numbers[name])
  const options: DemoOptions = {
    nodes: number('nodes'),
    tokens: number('tokens'),
    replicas: number('replicas'),
    seconds: number('seconds'),
    kills: number('kills'),
    json: given['json'] === true,
    keys: number('keys'),
    clients: number('clients'),
    rate: number('rate'),
    seed: number('seed'),
  }
  if (options.kills > 0 && (options.replicas < 1 || options.nodes < 2)) {
    throw new UsageError(
      '--kills needs --replicas 1 and --nodes 2 at least: else nothing is left to take over; or --kills 0',
    )
  }
  return options
}
