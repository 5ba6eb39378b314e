/** The text of `kagami help`, from what the command line is declared to take. */
import { placeOptions, subcommands } from './arguments.js'
import { wrap } from './text.js'

const WIDTH = 80
const LEFT = 26

export function help(): string {
  const lines = ['usage: kagami COMMAND --dir DIR --cluster NAME [options]', '']
  for (const [name, { takes, help, options }] of Object.entries(subcommands)) {
    lines.push(...entry([name, ...takes].join(' '), help))
    lines.push(...optionsOf(options, '  '))
  }
  lines.push('', 'Every command that works on a cluster takes:', ...optionsOf(placeOptions, ''))
  lines.push(
    '',
    ...wrap(
      'It ends with 0 when all is well, with 1 when something is not or what was asked for failed, and with 2 when it was asked wrongly.',
      WIDTH,
    ),
  )
  return lines.join('\n')
}

function optionsOf(
  options: Readonly<Record<string, { readonly value?: string; readonly help: string }>>,
  indent: string,
): string[] {
  return Object.entries(options).flatMap(([name, { value, help }]) =>
    // Said once, at the end.
    help === placeOptions['json']?.help && indent !== ''
      ? []
      : entry(`${indent}--${name}${value === undefined ? '' : ` ${value}`}`, help),
  )
}

function entry(left: string, right: string): string[] {
  return wrap(right, WIDTH - LEFT).map((line, i) => `${(i === 0 ? left : '').padEnd(LEFT - 1)} ${line}`)
}
