/**
 * Runs the scenarios of assignment-steps: text files that say what the controller knows, and what it does next. scenarios/README.md lists the commands. Holds no
 * expectation of its own.
 */
import type { Placement } from '../../src/contract/index.js'
import { copiesOf, nextStep } from '../../src/engine/assignment-steps.js'
import type { NodeView } from '../../src/engine/cluster-view.js'
import { knownEntries, type Assignment, type CopyReport, type Spec } from '../../src/engine/documents.js'
import { withWishes } from '../../src/engine/lost-specs.js'

export const SPEC: Spec = {
  token: 'orders',
  generation: 1,
  removed: false,
  removedBefore: 0,
  replicas: 1,
  weight: 1,
  primary: 'balanced',
  owner: null,
  failover: 'promote',
  failback: false,
  handover: null,
  adopt: null,
}

export const NEW: Assignment = {
  token: 'orders',
  incarnation: 1,
  phase: 'open',
  log: { address: 'L1', identity: 'L1' },
  epoch: 0,
  reached: { incarnation: 1, index: 0 },
  primary: null,
  replicas: [],
  snapshotter: null,
  handoverGivenUp: null,
}

export const REPORT: CopyReport = {
  token: 'orders',
  incarnation: 1,
  epoch: 0,
  nextIndex: 0,
  reached: { incarnation: 1, index: 0 },
  phase: 'running',
  inSync: true,
  cutOff: false,
  snapshotFails: false,
  serving: 0,
  seen: null,
  error: null,
}

export interface Scenario {
  readonly title: string
  readonly text: string
}

/** Scenarios stand apart by a line that begins with '#': their title. */
export function scenariosIn(file: string): Scenario[] {
  return file
    .split(/^(?=# )/m)
    .filter((part) => part.startsWith('# '))
    .map((part) => ({ title: part.slice(2, part.indexOf('\n')), text: `${part.trim()}\n` }))
}

/** Runs a scenario, and gives it back with what really came out. */
export function played({ text }: Scenario): string {
  const desk = new Desk()
  return text
    .split('\n\n')
    .map((block) => {
      const [commands = '', expected] = block.trim().split('\n----')
      const output = commands.split('\n').flatMap((line) => (line.startsWith('#') ? [] : desk.run(line.trim())))
      return expected === undefined && output.length === 0 ? commands : `${commands}\n----\n${output.join('\n')}`
    })
    .join('\n\n')
    .concat('\n')
}

/** What the controller has before it. */
class Desk {
  #assignment: Assignment = NEW
  #spec: Spec = SPEC
  #target: Placement | undefined
  #restoresPerNode = 4
  readonly #nodes = new Map<string, NodeView>()
  readonly #runs = new Map<string, number>()
  readonly #reports = new Map<string, CopyReport>()
  readonly #restoring = new Map<string, number>()
  /** The most entries that were ever reported, by incarnation. */
  readonly #told = new Map<number, number>()

  run(line: string): string[] {
    const [command, ...words] = line.split(/\s+/) as [string, ...string[]]
    const [first = ''] = words
    switch (command) {
      case 'nodes':
        for (const node of words) this.#join(node)
        return []
      case 'return':
        this.#join(first)
        return []
      case 'lose':
        this.#reports.delete(first)
        this.#nodes.set(first, { ...this.#node(first), member: undefined })
        return []
      case 'forget':
        this.#reports.delete(first)
        this.#nodes.delete(first)
        return []
      case 'node':
        this.#nodes.set(first, { ...this.#node(first), draining: oneOf(words[1], 'no', 'leaving', 'drain') })
        return []
      case 'token':
        this.#spec = words.reduce(specWith, this.#spec)
        return []
      case 'target':
        this.#target =
          first === 'none' ? undefined : { primary: first === '-' ? null : first, replicas: words.slice(1) }
        return []
      case 'assigned':
        this.#assignment = words.reduce(assignmentWith, this.#assignment)
        return []
      case 'copy':
        this.#report(first, words.slice(1))
        return []
      case 'well':
        this.#well()
        return []
      case 'limit':
        this.#restoresPerNode = Number(first)
        return []
      case 'restoring':
        this.#restoring.set(first, Number(words[1]))
        return []
      case 'step':
        return [this.#step()]
      case 'settle':
        return this.#settle()
      default:
        throw new Error(`no such command: ${line}`)
    }
  }

  #node(node: string): NodeView {
    const known = this.#nodes.get(node)
    if (known === undefined) throw new Error(`no such node: ${node}`)
    return known
  }

  #join(node: string): void {
    const run = (this.#runs.get(node) ?? 0) + 1
    this.#runs.set(node, run)
    this.#reports.delete(node)
    this.#nodes.set(node, { node, member: `${node}${run}`, zone: null, capacity: 1, draining: 'no' })
  }

  #report(node: string, words: readonly string[]): void {
    this.#node(node)
    if (words[0] === 'gone') return void this.#reports.delete(node)
    const { incarnation, epoch } = this.#assignment
    const report = words.reduce(reportWith, { ...REPORT, incarnation, epoch })
    this.#reports.set(node, report)
    this.#told.set(report.incarnation, Math.max(this.#told.get(report.incarnation) ?? 0, report.nextIndex))
  }

  /** Every copy on a live node is in sync, and the primary serves. */
  #well(): void {
    const { primary, incarnation, epoch } = this.#assignment
    const copies = copiesOf(this.#assignment)
    for (const { node, member } of this.#nodes.values()) {
      const before = this.#reports.get(node)
      if (member === undefined || before?.phase === 'failed') continue
      if (!copies.includes(node)) this.#reports.delete(node)
      else
        this.#reports.set(node, {
          ...REPORT,
          incarnation,
          epoch,
          nextIndex: 10,
          serving: node === primary?.node ? epoch : 0,
        })
    }
  }

  #step(): string {
    // That the wishes are written down is no step by itself.
    const before = withWishes(this.#assignment, this.#spec)
    const next = nextStep(before, {
      spec: this.#spec,
      target: this.#target,
      view: {
        nodes: this.#nodes,
        report: (node) => this.#reports.get(node),
        reached: (_, incarnation) => this.#told.get(incarnation) ?? 0,
        stalled: () => false,
      },
      counts: { restoring: new Map(this.#restoring), primaries: new Map() },
      restoresPerNode: this.#restoresPerNode,
    })
    if (next === before) return 'nothing to do'
    this.#assignment = next
    return shown(next)
  }

  /** Steps until there is nothing to do, with every copy well between them. */
  #settle(): string[] {
    const lines: string[] = []
    for (let i = 0; i < 12; i++) {
      this.#well()
      const line = this.#step()
      if (line === 'nothing to do') return lines.length === 0 ? [line] : lines
      lines.push(line)
    }
    return [...lines, 'and so on, for ever']
  }
}

function shown(assignment: Assignment): string {
  const { incarnation, epoch, primary, replicas, snapshotter, phase, log, handoverGivenUp } = assignment
  const parts = [
    primary === null ? 'no primary' : `primary ${primary.node} (${primary.member})`,
    replicas.length === 0 ? 'no replicas' : `replicas ${replicas.join(' ')}`,
    snapshotter === null ? 'no snapshots' : `snapshots by ${snapshotter}`,
  ]
  if (phase !== 'open') parts.push(phase)
  if (log.address !== 'L1') parts.push(`log ${log.address}`)
  if (knownEntries(assignment) > 0) parts.push(`${knownEntries(assignment)} entries known`)
  if (handoverGivenUp !== null) parts.push(`gave up ${handoverGivenUp}`)
  return `${incarnation}.${epoch}: ${parts.join(', ')}`
}

/** `key=value`, or a key alone. */
function keyOf(word: string): [key: string, value: string] {
  const [key = '', value = ''] = word.split('=')
  return [key, value]
}

function specWith(spec: Spec, word: string): Spec {
  const [key, value] = keyOf(word)
  switch (key) {
    case 'replicas':
      return { ...spec, replicas: Number(value) }
    case 'owner':
      return { ...spec, primary: 'self', owner: value }
    case 'hold':
      return { ...spec, failover: 'hold' }
    case 'failback':
      return { ...spec, failback: true }
    case 'handover': {
      const [to = '', nonce = ''] = value.split('#')
      return { ...spec, handover: { to, nonce } }
    }
    default:
      throw new Error(`no such option of a token: ${word}`)
  }
}

function assignmentWith(assignment: Assignment, word: string): Assignment {
  const [key, value] = keyOf(word)
  const list = value === '' ? [] : value.split(',')
  switch (key) {
    case 'at': {
      const [incarnation, epoch] = value.split('.').map(Number)
      return { ...assignment, incarnation: incarnation ?? 0, epoch: epoch ?? 0 }
    }
    case 'primary':
      return { ...assignment, primary: { node: value.slice(0, -1), member: value } }
    case 'replicas':
      return { ...assignment, replicas: list }
    case 'snapshots':
      return { ...assignment, snapshotter: value }
    case 'known':
      return { ...assignment, reached: { incarnation: assignment.incarnation, index: Number(value) } }
    default:
      throw new Error(`no such part of an assignment: ${word}`)
  }
}

function reportWith(report: CopyReport, word: string): CopyReport {
  const [key, value] = keyOf(word)
  switch (key) {
    case 'in-sync':
      return { ...report, phase: 'running', inSync: true }
    case 'behind':
      return { ...report, phase: 'running', inSync: false }
    case 'restoring':
      return { ...report, phase: 'restoring', inSync: false }
    case 'cut-off':
      return { ...report, phase: 'running', inSync: false, cutOff: true }
    case 'refused':
      return { ...report, error: 'KAGAMI_LOG_REFUSED' }
    case 'unanswered':
      return { ...report, appendsFail: true, error: 'KAGAMI_LOG_UNAVAILABLE' }
    case 'hindered':
      return { ...report, phase: 'restoring', inSync: false, error: 'KAGAMI_STORE_UNAVAILABLE' }
    case 'snapshots-fail':
      return { ...report, snapshotFails: true }
    case 'failed':
      return { ...report, phase: 'failed', inSync: false, error: 'KAGAMI_APPLY_FAILED' }
    case 'lost-tail':
      return { ...report, phase: 'failed', inSync: false, error: 'KAGAMI_LOG_LOST_TAIL' }
    case 'gap':
      return { ...report, phase: 'failed', inSync: false, error: 'KAGAMI_LOG_GAP' }
    case 'epoch':
      return { ...report, epoch: Number(value) }
    case 'began':
      return { ...report, epochBegan: Number(value) }
    case 'index':
      return { ...report, nextIndex: Number(value) }
    case 'serving':
      return { ...report, serving: Number(value) }
    case 'incarnation':
      return { ...report, incarnation: Number(value) }
    case 'seen':
    case 'seen-deleted': {
      const [pair = '', log = 'L1'] = value.split('@')
      const [incarnation = 0, epoch = 0] = pair.split('.').map(Number)
      const deleted = key === 'seen-deleted'
      return { ...report, seen: { incarnation, epoch, deleted, log: { address: log, identity: log } } }
    }
    default:
      throw new Error(`no such fact about a copy: ${word}`)
  }
}

function oneOf<T extends string>(word: string | undefined, ...options: readonly T[]): T {
  const found = options.find((option) => option === word)
  if (found === undefined) throw new Error(`${word ?? 'nothing'} is none of ${options.join(', ')}`)
  return found
}
