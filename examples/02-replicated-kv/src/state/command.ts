/** What the service replicates: the commands, what they answer, and the bytes in between. Pure: every copy decodes the same bytes. */
import type { Codec, Position } from 'kagami'

/** Names one write of one client. Numbers grow per client; a retry keeps its number. */
export interface RequestId {
  readonly client: string
  readonly number: number
}

/** What must hold for the write to take effect. */
export type Condition =
  | { readonly is: 'any' }
  | { readonly is: 'absent' }
  | { readonly is: 'present' }
  | { readonly is: 'version'; readonly version: string }

export type Command = {
  readonly key: string
  readonly condition: Condition
  readonly request: RequestId | undefined
} & ({ readonly op: 'put'; readonly value: Uint8Array } | { readonly op: 'delete' })

/** What `apply` answers, and what a repeated request is answered again. */
export interface Outcome {
  /** Done; refused by its condition; or forgotten: too old a number to tell whether it took effect before, and it did not now. */
  readonly status: 'done' | 'refused' | 'forgotten'
  /** Whether the key had a value before. */
  readonly existed: boolean
  /** The key's version after the write; undefined where it has no value. */
  readonly version: string | undefined
  /** The entry that took effect; that of the first try where `repeated`. */
  readonly position: Position
  /** The request was known already, and had no effect this time. */
  readonly repeated: boolean
}

/** A value's version is the position that wrote it. */
export function versionOf(position: Position): string {
  return `${position.incarnation}.${position.index}`
}

interface Head {
  readonly o: 'put' | 'delete'
  readonly k: string
  readonly i?: 'absent' | 'present'
  readonly v?: string
  readonly r?: readonly [client: string, number: number]
}

const FORMAT = 1
const PREFIX_BYTES = 3

/** format u8 · length of the head u16 · the head as JSON · the value. */
export const commandCodec: Codec<Command> = {
  encode(command) {
    const { op, key, condition, request } = command
    const head: Head = {
      o: op,
      k: key,
      ...(condition.is === 'absent' || condition.is === 'present' ? { i: condition.is } : {}),
      ...(condition.is === 'version' ? { v: condition.version } : {}),
      ...(request === undefined ? {} : { r: [request.client, request.number] }),
    }
    const text = Buffer.from(JSON.stringify(head))
    const prefix = Buffer.alloc(PREFIX_BYTES)
    prefix.writeUInt8(FORMAT, 0)
    prefix.writeUInt16LE(text.length, 1)
    return Buffer.concat([prefix, text, op === 'put' ? command.value : Buffer.alloc(0)])
  },
  decode(bytes) {
    const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    const format = buffer.readUInt8(0)
    if (format !== FORMAT) throw new Error(`a command of format ${format}; this version reads ${FORMAT}, upgrade it`)
    const end = PREFIX_BYTES + buffer.readUInt16LE(1)
    const head = JSON.parse(buffer.toString('utf8', PREFIX_BYTES, end)) as Head
    const common = {
      key: head.k,
      condition: conditionOf(head),
      request: head.r === undefined ? undefined : { client: head.r[0], number: head.r[1] },
    }
    // A copy: the value outlives the frame that it came in.
    return head.o === 'put'
      ? { ...common, op: 'put', value: new Uint8Array(buffer.subarray(end)) }
      : { ...common, op: 'delete' }
  },
}

function conditionOf({ i, v }: Head): Condition {
  if (v !== undefined) return { is: 'version', version: v }
  return { is: i ?? 'any' }
}
