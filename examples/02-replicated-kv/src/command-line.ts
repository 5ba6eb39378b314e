/** What the programs' command lines have in common: whole numbers within bounds, and how a wrong one is told. */

/** What is wrong with the command line, for people. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

/** What a number on the command line may be. */
export interface Bounds {
  /** Where it isn't given. */
  readonly standard: number
  readonly least: number
  readonly most: number
}

/** @throws UsageError naming the option, its value, and what would be right */
export function wholeNumber(
  option: string,
  text: string | boolean | undefined,
  { standard, least, most }: Bounds,
): number {
  if (text === undefined) return standard
  const value = Number(text)
  if (typeof text !== 'string' || !/^\d+$/.test(text) || value < least || value > most) {
    throw new UsageError(`--${option} is ${String(text)}; expected a whole number from ${least} to ${most}`)
  }
  return value
}
