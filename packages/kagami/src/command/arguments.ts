/** The command line of `kagami`: its subcommands and options, declared once, for reading them and for telling of them. Does nothing with them. */
import { parseArgs } from 'node:util'
import { badOption, refuseUnknownOptions } from '@kagami/core'

interface Flag {
  /** What stands for its value in the help; none: it takes no value. */
  readonly value?: string
  readonly help: string
}

interface Subcommand {
  readonly takes: readonly string[]
  readonly help: string
  readonly options: Readonly<Record<string, Flag>>
  /** Works on a cluster, so it must be said on which. */
  readonly onCluster: boolean
}

const json: Flag = { help: 'print one line of JSON last' }

/** Where the cluster is. */
export const placeOptions: Readonly<Record<string, Flag>> = {
  dir: { value: 'DIR', help: 'the folder of an embedded cluster' },
  cluster: { value: 'NAME', help: 'the name of the cluster' },
  config: {
    value: 'FILE',
    help: "instead of --dir: a module that exports createKagami's options by name, or as its default: cluster, dir, coordinator, snapshots",
  },
  'timeout-ms': { value: 'N', help: 'give up after so many milliseconds; 30000 where it is left out' },
  json,
}

export const subcommands = {
  status: {
    takes: [],
    help: 'members, tokens and their copies; ends with 0 when every token has a live primary and all replicas that are wanted, else with 1',
    options: {
      token: { value: 'NAME', help: 'one token in detail' },
      watch: { help: 'again after each change, until Ctrl-C' },
    },
    onCluster: true,
  },
  snapshots: { takes: ['TOKEN'], help: "the token's snapshots, newest first", options: {}, onCluster: true },
  handover: {
    takes: ['TOKEN'],
    help: 'moves the primary to another node, and ends when it serves there',
    options: { to: { value: 'NODE', help: 'the node that takes over' } },
    onCluster: true,
  },
  alter: {
    takes: ['TOKEN'],
    help: "changes a token's options; the controller then carries it out",
    options: {
      replicas: { value: 'N', help: 'copies besides the primary' },
      weight: { value: 'N', help: "load of a copy, relative to other tokens'" },
      failover: { value: 'promote|hold', help: 'what happens when its owner is lost' },
      failback: { value: 'true|false', help: 'whether a returning owner gets it back' },
    },
    onCluster: true,
  },
  remove: {
    takes: ['TOKEN'],
    help: 'deletes the token, its log and its snapshots',
    options: { yes: { help: 'really' } },
    onCluster: true,
  },
  help: { takes: [], help: 'this text', options: { json }, onCluster: false },
  version: { takes: [], help: 'the version, as --version does', options: { json }, onCluster: false },
} as const satisfies Readonly<Record<string, Subcommand>>

export type Name = keyof typeof subcommands

/** A command line that was understood. */
export interface Call {
  readonly name: Name
  readonly token: string | undefined
  /** Texts of options that take a value. */
  readonly text: (option: string) => string | undefined
  /** Whether an option that takes none is there. */
  readonly flag: (option: string) => boolean
}

/** @throws KAGAMI_BAD_OPTION that names the option, its value and what would be right */
export function readArguments(args: readonly string[]): Call {
  const [name, rest] = nameIn(args)
  const { takes, options, onCluster }: Subcommand = subcommands[name]
  const known: Readonly<Record<string, Flag>> = onCluster ? { ...options, ...placeOptions } : options
  const { tokens } = parseArgs({
    args: [...rest],
    options: Object.fromEntries(
      Object.entries(known).map(([option, { value }]) => [
        option,
        { type: value === undefined ? 'boolean' : 'string' },
      ]),
    ),
    // Its own messages don't say what would be right.
    strict: false,
    allowPositionals: true,
    tokens: true,
  })
  const given = new Map<string, string | true>()
  const positionals: string[] = []
  for (const token of tokens) {
    if (token.kind === 'positional') positionals.push(token.value)
    if (token.kind !== 'option') continue
    refuseUnknownOptions(
      { [token.rawName]: true },
      Object.keys(known).map((option) => `--${option}`),
    )
    given.set(token.name, valueOf(token, known[token.name]))
  }
  const [token, ...more] = takes.length === 0 ? [undefined, ...positionals] : positionals
  if (takes.length > 0 && token === undefined)
    throw badOption('TOKEN', undefined, `the name of a token: kagami ${name} TOKEN`)
  if (more.length > 0)
    throw badOption('argument', more[0], `nothing after kagami ${[name, ...takes].join(' ')} but options`)
  const text = (option: string): string | undefined => {
    const value = given.get(option)
    return typeof value === 'string' ? value : undefined
  }
  return { name, token, text, flag: (option) => given.has(option) }
}

/** The subcommand, and what is left without it. */
function nameIn(args: readonly string[]): readonly [Name, readonly string[]] {
  const asked = (option: string): boolean => args.includes(option)
  const jsonToo = asked('--json') ? ['--json'] : []
  if (asked('--help') || asked('-h')) return ['help', jsonToo]
  if (asked('--version')) return ['version', jsonToo]
  const [name, ...rest] = args
  if (name !== undefined && Object.hasOwn(subcommands, name)) return [name as Name, rest]
  throw badOption('command', name, `one of ${Object.keys(subcommands).join(', ')}; see kagami help`)
}

interface OptionToken {
  readonly rawName: string
  readonly value: string | undefined
  readonly inlineValue: boolean | undefined
}

function valueOf({ rawName, value, inlineValue }: OptionToken, flag: Flag | undefined): string | true {
  if (flag?.value === undefined) {
    if (value !== undefined) throw badOption(rawName, value, 'no value')
    return true
  }
  // Whoever forgets a value must not have the next option taken for it.
  const forgotten = value === undefined || (inlineValue !== true && value.startsWith('-') && !/^-\d/.test(value))
  if (forgotten || value === '')
    throw badOption(rawName, forgotten ? undefined : value, `a value: ${rawName} ${flag.value}`)
  return value
}

/** The number that an option gives, or undefined where it isn't there. Which numbers are right is checked where they are used. */
export function numberOf({ text }: Call, option: string): number | undefined {
  const given = text(option)
  if (given === undefined) return undefined
  if (!/^-?\d+(\.\d+)?$/.test(given)) throw badOption(`--${option}`, given, 'a number')
  return Number(given)
}
