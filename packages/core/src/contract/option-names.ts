/** Refuses misspelt options, so that none is ignored in silence. Adapters use it for theirs as core does for its own. */
import { KagamiError } from './errors.js'

/**
 * Refuses every option that is not among `known`, and suggests the nearest that is. `group` names where they stand, as `limits`;
 * empty for the outermost ones. The value is not shown: of an option that nobody knows it may well be a secret.
 * @throws KAGAMI_BAD_OPTION
 */
export function refuseUnknownOptions(options: object, known: readonly string[], group = ''): void {
  for (const key of Object.keys(options)) {
    if (known.includes(key)) continue
    const full = (name: string): string => (group === '' ? name : `${group}.${name}`)
    const near = nearest(key, known)
    const expected = near === undefined ? `one of ${known.map(full).join(', ')}` : full(near)
    throw new KagamiError(
      'KAGAMI_BAD_OPTION',
      near === undefined
        ? `there is no option ${full(key)}; expected ${expected}`
        : `there is no option ${full(key)}; did you mean ${expected}?`,
      { details: { option: full(key), expected } },
    )
  }
}

/** The name that was probably meant; undefined where none is near. */
function nearest(name: string, known: readonly string[]): string | undefined {
  let best: string | undefined
  // A longer name may be further off and still be recognized.
  let bound = 1 + Math.floor(name.length / 4)
  for (const candidate of known) {
    if (Math.abs(candidate.length - name.length) > bound) continue
    const edits = distance(name.toLowerCase(), candidate.toLowerCase())
    if (edits > bound) continue
    best = candidate
    bound = edits - 1
  }
  return best
}

/** How many letters must be added, dropped, replaced or swapped with their neighbour. */
function distance(a: string, b: string): number {
  const rows = [Array.from({ length: b.length + 1 }, (_, j) => j)]
  const at = (i: number, j: number): number => rows[i]?.[j] ?? Infinity
  for (let i = 1; i <= a.length; i++) {
    rows[i] = [i]
    for (let j = 1; j <= b.length; j++) {
      const replaced = at(i - 1, j - 1) + (a[i - 1] === b[j - 1] ? 0 : 1)
      const swapped = a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1] ? at(i - 2, j - 2) + 1 : Infinity
      rows[i]?.push(Math.min(at(i - 1, j) + 1, at(i, j - 1) + 1, replaced, swapped))
    }
  }
  return at(a.length, b.length)
}
