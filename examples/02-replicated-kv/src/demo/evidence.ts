/** Asks every node for the ledger of every copy that it holds, after a `sync`, until the copies of a token answer at one position. */
import { httpSender, type Sender } from '../service/sender.js'
import type { Observer } from './observer.js'
import type { NodeProcess } from './processes.js'
import type { CopyEvidence } from './verdict.js'

const ANSWER_WITHIN_MS = 10_000
/** A write whose client has given up may still arrive between two answers. */
const TRIES = 20
const BETWEEN_TRIES_MS = 100

export async function collectEvidence(
  observer: Observer,
  nodes: readonly NodeProcess[],
  tokens: readonly string[],
  signal: AbortSignal,
): Promise<{ readonly copies: readonly CopyEvidence[]; readonly complaints: readonly string[] }> {
  const sender = httpSender({ connectionsPerHost: 8 })
  const copies: CopyEvidence[] = []
  const complaints: string[] = []
  try {
    // One token after the other: a ledger may be large.
    for (const token of tokens) {
      const holders = nodes.filter(({ id }) => observer.copy(id, token) !== undefined)
      let answers: readonly (CopyEvidence | string)[] = []
      for (let tries = 0; tries < TRIES; tries++) {
        signal.throwIfAborted()
        answers = await Promise.all(holders.map((holder) => ask(sender, holder, token)))
        if (new Set(answers.map((answer) => (typeof answer === 'string' ? answer : answer.position))).size <= 1) break
        await new Promise((resolve) => setTimeout(resolve, BETWEEN_TRIES_MS))
      }
      for (const answer of answers) {
        if (typeof answer === 'string') complaints.push(answer)
        else copies.push(answer)
      }
    }
  } finally {
    sender.close()
  }
  return { copies, complaints }
}

/** A ledger, or why there is none. */
async function ask(sender: Sender, { id, url }: NodeProcess, token: string): Promise<CopyEvidence | string> {
  const deadline = new AbortController()
  const timer = setTimeout(() => deadline.abort(new Error('no answer in time')), ANSWER_WITHIN_MS)
  try {
    const { status, body } = await sender.send(`${url}/ledger/${token}`, { method: 'GET', signal: deadline.signal })
    const text = body.toString('utf8')
    if (status !== 200) return `node ${id} answered ${status} for the ledger of ${token}: ${text.slice(0, 200)}`
    return JSON.parse(text) as CopyEvidence
  } catch (error) {
    return `node ${id} gave no ledger of ${token}: ${String(error)}`
  } finally {
    clearTimeout(timer)
  }
}
