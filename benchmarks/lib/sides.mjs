/** What is measured side by side: Kagami, LMDB and a plain file, each doing the same work; and the taking of turns. */
import { closeSync, fdatasync, fdatasyncSync, openSync, write, writeSync } from 'node:fs'
import { join } from 'node:path'
import { open } from 'lmdb'

/** A loop that blocks lets the nodes of this process have a turn after this long, or their heartbeats would stop. */
const turnMs = 20

/**
 * Does something for that long, and gives what the whole slice gave.
 * @typedef {{ name: string, slice: (ms: number) => Promise<number[]>, close?: () => unknown }} Side
 */

/**
 * Lets the sides take turns, in another order each round, so that what disturbs the machine disturbs all of them. The first round warms up.
 * @param {readonly Side[]} sides
 * @param {{ rounds: number, sliceMs: number }} options
 * @returns {Promise<number[][][]>} by side, then by round
 */
export async function takeTurns(sides, { rounds, sliceMs }) {
  const results = sides.map(() => [])
  for (let round = -1; round < rounds; round++) {
    for (let turn = 0; turn < sides.length; turn++) {
      const side = (turn + Math.max(0, round)) % sides.length
      const samples = await sides[side].slice(sliceMs)
      if (round >= 0) results[side].push(samples)
    }
  }
  return results
}

/**
 * Throughput of `replicate`, with so many callers that each wait for their own.
 * @param {string} name
 * @param {import('kagami').Token} token
 * @param {{ callers: number, entry: Buffer }} load
 * @returns {Side}
 */
export function replicating(name, token, { callers, entry }) {
  return {
    name,
    async slice(ms) {
      let count = 0
      const from = performance.now()
      const call = async () => {
        do {
          await token.replicate(entry)
          count++
        } while (performance.now() - from < ms)
      }
      await Promise.all(Array.from({ length: callers }, call))
      return [(1000 * count) / (performance.now() - from)]
    },
  }
}

/**
 * How long each call takes, one after the other.
 * @param {string} name
 * @param {() => unknown} call may give a promise
 * @param {() => unknown} [close]
 * @returns {Side}
 */
export function oneByOne(name, call, close) {
  return {
    name,
    async slice(ms) {
      const samples = []
      const until = performance.now() + ms
      let turnEnds = performance.now() + turnMs
      while (performance.now() < until) {
        const from = performance.now()
        const waiting = call()
        if (waiting instanceof Promise) await waiting
        const now = performance.now()
        samples.push(now - from)
        if (now < turnEnds) continue
        await new Promise((resolve) => setImmediate(resolve))
        turnEnds = performance.now() + turnMs
      }
      return samples
    },
    close,
  }
}

/**
 * Throughput of a call that does `entries` entries at once, from the time that the calls themselves took.
 * @param {Side} side
 * @param {number} entries
 * @returns {Side}
 */
export function throughputOf(side, entries) {
  return {
    ...side,
    async slice(ms) {
      const samples = await side.slice(ms)
      return [(1000 * entries * samples.length) / samples.reduce((sum, sample) => sum + sample, 0)]
    },
  }
}

/** Appends records to a file, each written and synced before the next, without a thread in between: the least that durability costs. */
export function plainFile(folder, record) {
  const fd = openSync(join(folder, 'file'), 'a')
  return oneByOne(
    'plain file',
    () => {
      writeSync(fd, record)
      fdatasyncSync(fd)
    },
    () => closeSync(fd),
  )
}

/** The same as a service would have to do it: without blocking its event loop. */
export function plainFileAsync(folder, record) {
  const fd = openSync(join(folder, 'file-async'), 'a')
  const settled = (resolve, reject) => (error) => (error ? reject(error) : resolve())
  return oneByOne(
    'plain file, not blocking',
    async () => {
      await new Promise((resolve, reject) => write(fd, record, settled(resolve, reject)))
      await new Promise((resolve, reject) => fdatasync(fd, settled(resolve, reject)))
    },
    () => closeSync(fd),
  )
}

/** Puts entries into LMDB under growing numbers, so many in each synced transaction. */
export function lmdbTransactions(folder, entry, entries) {
  // Overlapping syncs would acknowledge before the data is on the disk.
  const db = open({
    path: join(folder, 'lmdb'),
    encoding: 'binary',
    keyEncoding: 'uint32',
    overlappingSync: false,
    cache: false,
  })
  let key = 0
  return oneByOne(
    'LMDB',
    () => {
      db.transactionSync(() => {
        for (let i = 0; i < entries; i++) db.putSync(key++, entry)
      })
    },
    () => db.close(),
  )
}
