/**
 * What the trace of system calls is taken of: appends and writes documents, several at once, and says `acked <text>` on standard
 * output, without a buffer in between, at each acknowledgement. Works with the built package, because plain Node runs it.
 */
import { appendFileSync, readdirSync, readFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { embedded } from '../../dist/index.js'
import { encodeRecord } from '../../dist/record.js'
import { decodeHeader, seedOf } from '../../dist/segment.js'

const [dir, segmentBytes] = process.argv.slice(2)
const { log, coordinator } = embedded({ dir, segmentBytes: Number(segmentBytes) })
const signal = new AbortController().signal
const quiet = () => undefined
const context = {
  cluster: 'test',
  node: 'traced',
  signal,
  logger: { debug: quiet, info: quiet, warn: quiet, error: quiet },
}
await log.start(context)
await coordinator.start(context)
const session = await coordinator.connect({ signal })

const flows = Array.from({ length: 4 }, async (_, flow) => {
  const address = await log.allocate(`token-${flow % 2}`, new Set(), { signal })
  const handle = await log.open(address, { signal, token: `token-${flow % 2}` })
  let version
  for (let i = 0; i < 25; i++) {
    await handle.append(Buffer.from(`{record-${flow}-${i}}`.padEnd(4_000, '.')), { signal })
    writeSync(1, `acked {record-${flow}-${i}}\n`)
    if (i % 5 !== 0) continue
    version = await session.write(`doc/${flow}`, Buffer.from(`{document-${flow}-${i}}`), version, { signal })
    writeSync(1, `acked {document-${flow}-${i}}\n`)
  }
})
await Promise.all(flows)

// A record that another process has written, and could neither sync nor tell of before it was frozen.
const address = await log.allocate('frozen', new Set(), { signal })
const handle = await log.open(address, { signal, token: 'frozen' })
await handle.append(Buffer.from('before'), { signal })
const logs = join(dir, readdirSync(dir)[0], 'logs')
const path = readdirSync(logs, { recursive: true }).find((name) => name.includes(address) && name.endsWith('.log'))
const { identity } = decodeHeader(path, readFileSync(join(logs, path)).subarray(0, 64))
const info = { type: 1, nonce: 1n, synced: 0, seed: seedOf(identity) }
appendFileSync(join(logs, path), encodeRecord(Buffer.from('{frozen}'), info))
reading: for await (const { records } of handle.read(0n, { signal, lookMs: 500, maxBatchBytes: 65_536 })) {
  for (const { bytes } of records) {
    if (Buffer.from(bytes).toString() !== '{frozen}') continue
    writeSync(1, 'read {frozen}\n')
    break reading
  }
}
await coordinator.stop()
await log.stop()
