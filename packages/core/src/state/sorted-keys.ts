/**
 * The keys of one tree node: a short sorted list of strings. Beside each key stands a number made of the first characters in which
 * the list's keys differ, so that a search reads one array of numbers and then, mostly, one string, instead of a string at each step.
 */

export interface SortedKeys {
  /** Ascending by UTF-16 code units, as `<` orders strings. No two are equal. */
  readonly keys: string[]
  /** Ascending too: {@link hintOf} each key. */
  readonly hints: number[]
  /** All keys have this many first characters in common, if not more. */
  skip: number
}

export function noKeys(): SortedKeys {
  return { keys: [], hints: [], skip: 0 }
}

export function copyKeys({ keys, hints, skip }: SortedKeys): SortedKeys {
  return { keys: keys.slice(), hints: hints.slice(), skip }
}

/** The index of the first key that is not smaller; all keys are when it is their number. */
export function lowerBound({ keys, hints, skip }: SortedKeys, key: string): number {
  const count = keys.length
  if (count === 0) return 0
  if (skip > 0) {
    const first = keys[0]!
    for (let at = 0; at < skip; at += 1) {
      const difference = codeAt(key, at) - codeAt(first, at)
      if (difference !== 0) return difference < 0 ? 0 : count
    }
  }
  const hint = hintOf(key, skip)
  let low = 0
  let high = count
  while (low < high) {
    const middle = (low + high) >>> 1
    if (hints[middle]! < hint) low = middle + 1
    else high = middle
  }
  if (low === count || hints[low] !== hint || keys[low] === key) return low
  high = low + 1
  while (high < count && hints[high] === hint) high += 1
  while (low < high) {
    const middle = (low + high) >>> 1
    if (keys[middle]! < key) low = middle + 1
    else high = middle
  }
  return low
}

/** Inserts a key that is not there yet, at its lower bound. */
export function insertKey(list: SortedKeys, index: number, key: string): void {
  insertAt(list.keys, index, key)
  insertAt(list.hints, index, hintOf(key, list.skip))
  // What lies between two keys begins as both do, so only a new first or last one can have less in common.
  if (index === 0 || index === list.keys.length - 1) fitSkip(list)
}

export function removeKey({ keys, hints }: SortedKeys, index: number): void {
  keys.splice(index, 1)
  hints.splice(index, 1)
}

/** Cuts the list before `index` and gives what followed. */
export function splitKeys(list: SortedKeys, index: number): SortedKeys {
  const right = { keys: list.keys.splice(index), hints: list.hints.splice(index), skip: list.skip }
  // Half of a list has more in common than the whole.
  rehint(list)
  rehint(right)
  return right
}

/** Appends greater keys. */
export function appendKeys(list: SortedKeys, greater: readonly string[]): void {
  for (const key of greater) {
    list.keys.push(key)
    list.hints.push(hintOf(key, list.skip))
  }
  fitSkip(list)
}

export function insertAt<T>(array: T[], index: number, item: T): void {
  array.push(item)
  // Faster than splice, which also makes an array of what it removed.
  for (let at = array.length - 1; at > index; at -= 1) array[at] = array[at - 1]!
  array[index] = item
}

/** Recomputes the hints where the keys have less in common than they are made for. */
function fitSkip(list: SortedKeys): void {
  if (commonLength(list) < list.skip) rehint(list)
}

function rehint(list: SortedKeys): void {
  const { keys, hints } = list
  list.skip = commonLength(list)
  for (let index = 0; index < keys.length; index += 1) hints[index] = hintOf(keys[index]!, list.skip)
}

/** How many first characters all keys have in common: those of the first and the last. */
function commonLength({ keys }: SortedKeys): number {
  const first = keys[0]
  const last = keys[keys.length - 1]
  if (first === undefined || last === undefined || keys.length === 1) return 0
  const most = Math.min(first.length, last.length)
  let common = 0
  while (common < most && first.charCodeAt(common) === last.charCodeAt(common)) common += 1
  return common
}

const RADIX = 65_537

/** Three characters from `skip` on as one number: exact in a double, and ordered as the strings are. */
function hintOf(key: string, skip: number): number {
  return (codeAt(key, skip) * RADIX + codeAt(key, skip + 1)) * RADIX + codeAt(key, skip + 2)
}

/** The character's code and one; 0 behind the end, so that a string comes before those that it begins. */
function codeAt(key: string, at: number): number {
  return at < key.length ? key.charCodeAt(at) + 1 : 0
}
