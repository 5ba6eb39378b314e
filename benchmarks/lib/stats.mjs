/** Turns samples into the figures that are shown. Never makes one up: no samples is an error, not a zero. */

/**
 * @typedef {object} Summary
 * @property {number} samples
 * @property {number} p10
 * @property {number} p50
 * @property {number} p90
 * @property {number} p99
 * @property {number} min
 * @property {number} max
 */

/**
 * @param {string} name what was measured, for the error
 * @param {readonly number[]} samples
 * @returns {Summary}
 */
export function summary(name, samples) {
  const sorted = sort(name, samples)
  return {
    samples: sorted.length,
    p10: quantile(sorted, 0.1),
    p50: quantile(sorted, 0.5),
    p90: quantile(sorted, 0.9),
    p99: quantile(sorted, 0.99),
    min: sorted[0],
    max: sorted[sorted.length - 1],
  }
}

/**
 * @param {string} name
 * @param {readonly number[]} samples
 */
export function median(name, samples) {
  return quantile(sort(name, samples), 0.5)
}

/**
 * The middle of the ratios of what was measured side by side, and its quartiles: how much of it is noise.
 * @param {string} name
 * @param {readonly number[]} ours
 * @param {readonly number[]} theirs of the same rounds
 */
export function ratios(name, ours, theirs) {
  if (ours.length !== theirs.length) throw new Error(`${name}: ${ours.length} samples against ${theirs.length}`)
  const each = sort(
    name,
    ours.map((one, round) => one / theirs[round]),
  )
  return { samples: each.length, p25: quantile(each, 0.25), p50: quantile(each, 0.5), p75: quantile(each, 0.75) }
}

/** The smallest sample that at least this share of all does not exceed; between two middle ones, their mean. */
function quantile(sorted, share) {
  const at = share * sorted.length
  const index = Math.min(sorted.length - 1, Math.max(0, Math.ceil(at) - 1))
  if (share === 0.5 && Number.isInteger(at) && index + 1 < sorted.length) return (sorted[index] + sorted[index + 1]) / 2
  return sorted[index]
}

function sort(name, samples) {
  if (samples.length === 0) throw new Error(`${name}: nothing was measured`)
  const broken = samples.find((sample) => !Number.isFinite(sample))
  if (broken !== undefined) throw new Error(`${name}: ${broken} among the samples`)
  return [...samples].sort((a, b) => a - b)
}
