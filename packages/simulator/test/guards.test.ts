/** "Removing any guard is caught": each test takes one out of the core that ships, and a few seeds must notice. */
import { afterEach, expect, test } from 'vitest'
import type { SimulateOptions } from '../src/index.js'
import { firstBroken } from './seeds.js'
import { mutant, type Mutant, type Mutation } from './mutant.js'

let taken: Mutant | undefined
afterEach(() => {
  taken?.remove()
  taken = undefined
})

const chainCheck: Mutation = {
  file: 'engine/admission.js',
  guard: /if \(frame\.chain !== state\.chain \|\| frame\.firstIndex !== state\.nextIndex\)\s+return 'diverged';/,
  instead: '',
}

const guards: readonly (readonly [
  name: string,
  promises: readonly string[],
  mutations: readonly Mutation[],
  /** For a guard of what seldom happens: faults that bring it about. */
  faults?: SimulateOptions['faults'],
])[] = [
  [
    'a data frame counts only when its seq is the next one',
    ['S2', 'S4'],
    [
      {
        file: 'engine/admission.js',
        guard: /if \(frame\.firstSeq < state\.nextSeq\)\s+return 'duplicate';/,
        instead: '',
      },
      chainCheck,
    ],
  ],
  [
    'a barrier counts only when its epoch is higher',
    ['S1', 'S2', 'S3', 'S8'],
    [{ file: 'engine/admission.js', guard: 'frame.epoch <= state.epoch', instead: 'frame.epoch < state.epoch' }],
  ],
  [
    'the log is truncated only when two snapshots are verified',
    ['S8'],
    [{ file: 'engine/snapshot-policy.js', guard: 'kept.length < keep', instead: 'kept.length < 1' }],
  ],
  [
    'the log is truncated below the oldest kept snapshot, not the newest',
    ['S8'],
    [{ file: 'engine/snapshot-policy.js', guard: 'lowestAnchor(kept)', instead: 'lowestAnchor(kept.slice(0, 1))' }],
  ],
  [
    'truncation leaves the anchor',
    ['S8'],
    [{ file: 'engine/snapshot-policy.js', guard: 'lowestAnchor(kept)', instead: 'lowestAnchor(kept) + 1n' }],
  ],
  [
    'a snapshot is read back before it is relied on',
    ['S8'],
    [
      {
        file: 'runtime/snapshotter.js',
        guard: '(movement) => this.#verify(ref, movement)',
        instead: 'async () => undefined',
      },
    ],
  ],
  [
    "a snapshot's blocks are checked",
    ['S7', 'S8', 'BUG'],
    [
      {
        file: 'engine/snapshot-blob.js',
        guard: /if \(crc32\(rest\.subarray\(0, size - 4\)\) !== rest\.readUInt32BE\(size - 4\)\)/,
        instead: 'if (false)',
      },
    ],
    { all: 0, snapshotMangled: 6, bitRot: 6, crash: 3 },
  ],
  [
    'a frame whose append failed is appended again',
    ['L'],
    [
      {
        file: 'engine/term.js',
        guard: /item\.landedAt = undefined;\s+item\.failures \+= 1;/,
        instead: 'item.outstanding = true;',
      },
    ],
  ],
  [
    'documents that are older than the log are healed from the log',
    ['S3', 'L'],
    [
      {
        file: 'engine/assignment-steps.js',
        guard: 'let next = heal(assignment, input.view);',
        instead: 'let next = assignment;',
      },
    ],
  ],
  [
    'who was deposed while it took over leaves alone what its successor has written',
    ['S9'],
    [{ file: 'runtime/assignment-table.js', guard: 'if (controller > this.#ruler.epoch)', instead: 'if (false)' }],
    // Controllers that are deposed again and again while their writes are under way.
    { all: 0, pause: 6, sessionExpired: 6, documentSlow: 8, cut: 2 },
  ],
  [
    'sync waits for a marker whose append began after the call',
    ['S6'],
    [
      {
        file: 'runtime/marker-queue.js',
        guard: 'this.#next.add(waiter);',
        instead: '(this.#underWay?.waiters ?? this.#next).add(waiter);',
      },
    ],
  ],
  [
    'a restore keeps those waiting for their sync whose marker it may have jumped over',
    ['L'],
    [
      {
        file: 'runtime/marker-queue.js',
        guard: 'this.#next = new Set([...this.#takeWaiters(), ...this.#next]);',
        instead: 'this.#takeWaiters();',
      },
    ],
    { all: 0, cut: 8 },
  ],
  [
    'what is asked for is asked for again where the coordinator has lost it',
    ['L'],
    [{ file: 'runtime/carried-out.js', guard: 'if (!wish.stands())', instead: 'if (false)' }],
    // A coordinator that forgets, and a controller that is slow to carry out what it was asked for.
    { all: 0, wipe: 6, rollback: 6, rollbackFar: 6, documentSlow: 10, logCallFailed: 10, crash: 3 },
  ],
  [
    'a copy serves an epoch only when it has read its own barrier',
    ['S1', 'S3'],
    [
      {
        file: 'runtime/copy-role.js',
        guard: "live?.phase === 'serving' && this.#context.leaseHeld()",
        instead: 'live !== undefined && this.#context.leaseHeld()',
      },
    ],
  ],
  [
    'a restore over unread log settles what was pending as indeterminate',
    ['S5', 'L'],
    [{ file: 'engine/term.js', guard: /jumped\(state\) \{/, instead: 'jumped(state) { return [];' }],
    // A primary that is cut off from the log for so long that the log is truncated meanwhile.
    { all: 0, cut: 8, appendAnswerLost: 1 },
  ],
  [
    "an append's acknowledgement settles nothing",
    ['S1'],
    [
      {
        file: 'engine/term.js',
        guard: 'firstSeq: this.#nextSeq, entries }',
        instead: 'firstSeq: this.#nextSeq, firstIndex: this.#nextIndex, entries }',
      },
      {
        file: 'runtime/replicator.js',
        guard: 'term.appended(item, offset, clock.monotonicMs());',
        instead: `for (const [i, { bytes, resolve }] of (item.firstIndex === undefined ? [] : term.counted(item.firstSeq)).entries()) {
            const position = { incarnation: term.incarnation, index: item.firstIndex + i };
            resolve({ position, result: Number(Buffer.from(bytes).toString().slice('op '.length)) });
          }
          term.appended(item, offset, clock.monotonicMs());`,
      },
    ],
  ],
  [
    'nothing is ended on behalf of a spec that knew nothing of it',
    ['S1'],
    [
      {
        file: 'runtime/token-specs.js',
        guard: 'const alive = this.#survivor(token, found, current, adopt);',
        instead: 'const alive = null;',
      },
      {
        file: 'runtime/lifecycle-work.js',
        guard: 'if (isRemoved(spec, assignment.incarnation)) {',
        instead:
          'if (isRemoved(spec, assignment.incarnation) || spec.generation > generationOf(assignment.incarnation)) {',
      },
    ],
    // A coordinator that forgets what is there, over and over.
    { all: 0, wipe: 6, rollback: 6, rollbackFar: 6, crash: 3 },
  ],
  [
    'the node of the primary gets no second copy',
    ['S10'],
    [
      {
        file: 'engine/assignment-steps.js',
        guard: 'result.filter((node) => node !== assignment.primary?.node).sort()',
        instead: 'result.toSorted()',
      },
    ],
  ],
]

/** At most: all but one are noticed within some twenty, and which ones they are changes with every change of core's timing. */
const SEEDS = 400

for (const [name, promises, mutations, faults = {}] of guards) {
  test(`${name}: without it a seed breaks a promise`, { timeout: 300_000 }, async () => {
    taken = await mutant(mutations)
    const found = await firstBroken(1, SEEDS, { faults, createNode: taken.createNode })
    expect(found, `no seed of ${SEEDS} noticed`).toBeDefined()
    expect(promises).toContain(found?.promise)
  })
}
