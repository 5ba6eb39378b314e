/** The order of system calls: nothing is acknowledged before the system has said that it is on the disk. */
import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { dirname, join, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'
import { strace } from './strace.js'
import { testFolder } from './support.js'

const run = promisify(execFile)
const script = fileURLToPath(new URL('children/traced.mjs', import.meta.url))

/** A system call, with the lines of the trace at which it began and ended. */
interface Call {
  readonly name: string
  readonly args: string
  readonly began: number
  readonly ended: number
}

function callsOf(trace: string): Call[] {
  const calls: Call[] = []
  const open = new Map<string, { readonly name: string; readonly args: string; readonly began: number }>()
  for (const [line, text] of trace.split('\n').entries()) {
    const [, thread, rest] = /^(\d+) +(.*)$/.exec(text) ?? []
    if (thread === undefined || rest === undefined) continue
    const resumed = /^<\.\.\. (\w+) resumed>(.*)$/.exec(rest)
    if (resumed !== null) {
      const begun = open.get(`${thread} ${resumed[1]}`)
      if (begun !== undefined && succeeded(rest)) calls.push({ ...begun, args: begun.args + resumed[2]!, ended: line })
      continue
    }
    const [, name, args] = /^(\w+)\((.*)$/.exec(rest) ?? []
    if (name === undefined || args === undefined) continue
    if (args.endsWith('<unfinished ...>')) open.set(`${thread} ${name}`, { name, args, began: line })
    else if (succeeded(rest)) calls.push({ name, args, began: line, ended: line })
  }
  return calls
}

const succeeded = (text: string): boolean => /\) += \d+/.test(text)

/** The paths that a call names, in order. */
const pathsOf = (args: string): string[] => [...args.matchAll(/"([^"]*)"/g)].map((match) => match[1]!)

/** The mark that a traced write carries, which its acknowledgement repeats. */
const markIn = (args: string): string => /\{[^}]*\}/.exec(args)![0]

const pathOf = (call: Pick<Call, 'args'>): string => /^\d+<([^>]*)>/.exec(call.args)?.[1] ?? ''

describe('the trace of system calls', () => {
  it('shows a sync of the file, and of the folder where a name is new, before each acknowledgement', async (context) => {
    const tool = await strace(await testFolder())
    if (tool === undefined) {
      console.warn('\n*** there is no strace: THE ORDER OF SYNCS WAS NOT CHECKED. apt-get install strace ***\n')
      // eslint-disable-next-line no-restricted-syntax -- without strace, which is no part of most systems, nothing can be seen
      return context.skip('there is no strace')
    }
    const dir = await testFolder()
    const output = join(dir, 'trace')
    const traced = 'trace=write,pwrite64,writev,pwritev,fsync,fdatasync,link,linkat,mkdir,rename,renameat,renameat2'
    const options = ['-f', '-y', '-s', '20000', '-E', 'LD_LIBRARY_PATH', '-o', output, '-e', traced]
    await run(tool.path, [...options, process.execPath, script, join(dir, 'd'), '65536'], { env: tool.env })
    const calls = callsOf(await readFile(output, 'utf8'))
    const syncs = calls.filter(({ name }) => name === 'fdatasync' || name === 'fsync')
    const synced = (path: string, after: number, before: number): boolean =>
      syncs.some((sync) => pathOf(sync) === path && sync.began > after && sync.ended < before)

    const frozen = calls.find(
      ({ name, args }) => name === 'write' && args.includes('{frozen}') && !args.includes('read {'),
    )!
    const read = calls.find(({ args }) => args.includes('"read {frozen}'))!
    expect(
      synced(pathOf(frozen), frozen.ended, read.began),
      'a sync by the reader of what nobody else has synced',
    ).toBe(true)

    const documents = join(dir, 'd', `test.9f86d081884c7d65.v1`, 'documents')
    const acks = calls.filter(({ name, args }) => name === 'write' && args.includes('"acked {'))
    expect(acks).toHaveLength(120)
    for (const ack of acks) {
      const text = markIn(ack.args)
      const write = calls.find((call) => call !== ack && call.args.includes(text) && call.ended < ack.began)
      expect(write, `a write of ${text}`).toBeDefined()
      expect(
        synced(pathOf(write!), write!.ended, ack.began),
        `a sync of ${pathOf(write!)} between ${text} and its ack`,
      ).toBe(true)
      if (!text.includes('document')) continue
      const scratch = pathOf(write!)
      const link = calls.find(
        ({ name, args, began }) => name.startsWith('link') && args.includes(scratch) && began > write!.ended,
      )
      expect(synced(scratch, write!.ended, link!.began), `${text} is synced before it gets its name`).toBe(true)
      const folder = dirname(pathsOf(link!.args)[1]!)
      expect(
        synced(folder, link!.ended, ack.began),
        `a sync of ${folder} between the name of ${text} and its ack`,
      ).toBe(true)
    }
    const shelves = calls.filter(({ name, args }) => name === 'mkdir' && pathsOf(args)[0]!.startsWith(documents + sep))
    expect(shelves.length, 'folders for documents').toBeGreaterThan(1)
    for (const { args, ended } of shelves) {
      const path = pathsOf(args)[0]!
      const first = calls.find(
        (call) => call.began > ended && call.name.startsWith('link') && pathsOf(call.args)[1]!.startsWith(path + sep),
      )!
      const text = calls.find(({ name, args }) => name === 'write' && pathOf({ args }) === pathsOf(first.args)[0])!
      const ack = acks.find(({ args, began }) => began > first.ended && args.includes(markIn(text.args)))!
      expect(
        synced(dirname(path), ended, ack.began),
        `a sync of ${dirname(path)} between the name of ${path} and the ack of its first document`,
      ).toBe(true)
    }
    // Before a log, or a new file of it, takes its first record, its name is durable.
    const created = calls.filter(
      ({ name, args }) => /^(link|rename)/.test(name) && pathsOf(args)[1]!.includes('/logs/'),
    )
    const files = created.filter(({ name }) => name.startsWith('link')).map(({ args }) => pathsOf(args)[1]!)
    expect(created.length - files.length, 'logs').toBeGreaterThan(2)
    expect(files.filter((path) => path.endsWith('.log')).length, 'files with which logs go on').toBeGreaterThan(2)
    for (const { args, ended } of created) {
      const [scratch, path] = pathsOf(args) as [string, string]
      const first = calls.find(
        (call) =>
          call.name === 'write' && call.began > ended && pathOf(call).startsWith(path) && pathOf(call).endsWith('.log'),
      )
      if (first === undefined) continue
      expect(
        synced(dirname(path), ended, first.began),
        `a sync of ${dirname(path)} between the name of ${path} and a record`,
      ).toBe(true)
      const contents = syncs.find((sync) => pathOf(sync).startsWith(scratch))
      expect(contents?.ended, `${path} is synced before it gets its name`).toBeLessThan(ended)
    }
  })
})
