/** A small key-value machine that keeps every rule of the contract: the subject that the suite of StateMachine must pass. */
import type { Entry, RestoreInfo, StateMachine, StateSnapshot } from '@kagami/core/contract'

export interface Command {
  readonly op: 'put' | 'delete' | 'add'
  readonly key: string
  readonly amount: number
}

export type Result = { readonly version: number; readonly value: number | undefined }

export function command(i: number): Command {
  const op = i % 7 === 6 ? 'delete' : i % 3 === 0 ? 'add' : 'put'
  return { op, key: `k${(i * 37) % 101}`, amount: i }
}

export class KeyValue implements StateMachine<Result, Command> {
  readonly schemaVersion: number = 1
  values = new Map<string, number>()
  version = 0

  apply({ value: { op, key, amount } }: Entry<Command>): Result {
    this.version += 1
    if (op === 'delete') this.values.delete(key)
    else this.values.set(key, op === 'add' ? (this.values.get(key) ?? 0) + amount : amount)
    return { version: this.version, value: this.values.get(key) }
  }

  snapshot(): StateSnapshot {
    const lines = [String(this.version), ...[...this.values].map(([key, value]) => `${key} ${value}`)]
    return {
      async *persist({ signal }) {
        for (const line of lines) {
          signal.throwIfAborted()
          yield new TextEncoder().encode(`${line}\n`)
        }
      },
      release: () => undefined,
    }
  }

  async restore(chunks: AsyncIterable<Uint8Array>, _info: RestoreInfo): Promise<void> {
    const parts: Uint8Array[] = []
    for await (const chunk of chunks) parts.push(chunk.slice())
    const [version, ...lines] = Buffer.concat(parts).toString().trimEnd().split('\n')
    this.version = Number(version)
    this.values = new Map(
      lines.map((line) => {
        const [key, value] = line.split(' ')
        return [key!, Number(value)]
      }),
    )
  }

  digest(): string {
    return JSON.stringify([this.version, [...this.values].sort()])
  }
}
