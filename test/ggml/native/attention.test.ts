/**
 * Our attention through graphs: right within rounding, and the same bytes for every batch, chunk,
 * number of threads, neighbour and CPU path. `native/test/attention_test.cpp` does the same over
 * many random shapes (see attention.long.ts).
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Allocation, type TensorSpec } from '../../../src/ggml/allocation.js';
import { Backend } from '../../../src/ggml/backend.js';
import type { RopeOptions } from '../../../src/ggml/graph.js';
import { cachedAttention } from '../../../src/ggml/native/attention.js';
import type { Tensor } from '../../../src/ggml/tensor.js';
import { GgmlType } from '../../../src/ggml/types.js';
import { Workspace } from '../../../src/ggml/workspace.js';
import {
  type AttentionCase,
  attendByGgml,
  attendInCalls,
  type Run,
  reference,
  rotateBothWays,
  rotateInSteps,
} from './attention-support.js';
import { forcePath, requireKernels } from './support.js';

const shapes: Readonly<Record<string, AttentionCase>> = {
  'grouped heads': shape({ heads: 4, kvHeads: 2, headDim: 64 }),
  'a window': shape({ heads: 3, kvHeads: 1, headDim: 80, window: 50 }),
  'soft capping': shape({ heads: 2, kvHeads: 2, headDim: 128, softcap: 5 }),
  'odd dimensions': shape({ heads: 6, kvHeads: 3, headDim: 33, valueDim: 20 }),
};

const plain: RopeOptions = {
  ...{ dimensions: 64, pairs: 'halves', base: 10000, scale: 1, yarn: 0, magnitude: 1 },
  ...{ betaFast: 32, betaSlow: 1, originalContext: 512 },
};
const rotations: readonly (readonly [string, RopeOptions, boolean])[] = [
  ['halves', plain, true],
  ['interleaved, without norms', { ...plain, pairs: 'interleaved' }, false],
  ['a part of the head', { ...plain, dimensions: 24, base: 1e6 }, true],
  ['YaRN', { ...plain, yarn: 1, scale: 0.25 }, false],
];

/** A tensor of rows of so many elements. */
function spec(type: GgmlType, row: number, positions = 64): TensorSpec {
  return { name: 'cache', type, shape: [row, positions] };
}

function shape(
  given: Pick<AttentionCase, 'heads' | 'kvHeads' | 'headDim'> & Partial<AttentionCase>,
): AttentionCase {
  const defaults = { valueDim: given.headDim, type: GgmlType.F32, seed: 5 };
  return { scale: 1 / Math.sqrt(given.headDim), ...defaults, ...given };
}

/** One sequence in steps of some sizes, taken in turn. */
function steps(length: number, sizes: readonly number[], sequence = 0, start = 0): Run[][] {
  const calls: Run[][] = [];
  for (let from = start; from < length; ) {
    const to = Math.min(length, from + (sizes[calls.length % sizes.length] ?? 1));
    calls.push([{ sequence, from, to }]);
    from = to;
  }
  return calls;
}

/** The largest distance of a result from the exact one. */
function worstOf(exact: Float64Array, result: Float32Array | undefined): number {
  return exact.reduce((most, x, i) => Math.max(most, Math.abs(x - (result?.[i] ?? NaN))), 0);
}

function assertSameBytes(a: Float32Array | undefined, b: Float32Array | undefined, what: string) {
  assert.ok(a !== undefined && b !== undefined && a.length === b.length);
  const same = Buffer.from(a.buffer, a.byteOffset, a.byteLength).equals(
    Buffer.from(b.buffer, b.byteOffset, b.byteLength),
  );
  assert.ok(same, `${what} changes bytes`);
}

describe('native attention', () => {
  const kernels = requireKernels();
  const usual = kernels.path;
  let backends: readonly Backend[] = [];
  before(() => {
    backends = [new Backend({ threads: 1 }), new Backend({ threads: 2 })];
  });
  after(() => {
    for (const backend of backends) backend.dispose();
    forcePath(kernels, usual);
  });
  const backend = (threads: 1 | 2) => backends[threads - 1] as Backend;

  for (const [name, given] of Object.entries(shapes)) {
    it(`agrees with double precision: ${name}`, async () => {
      const length = 150;
      const exact = reference(given, 0, length);
      for (const path of kernels.paths) {
        forcePath(kernels, path);
        const [result] = await attendInCalls(backend(1), given, [length], steps(length, [70, 3]));
        const worst = worstOf(exact, result);
        assert.ok(worst < 5e-6, `${path}: ${worst}`);
      }
      forcePath(kernels, usual);
    });
  }

  it('lets the rows of a block see each other when not causal', async () => {
    const given = { ...shape({ heads: 2, kvHeads: 1, headDim: 64 }), causal: false };
    const [result] = await attendInCalls(
      backend(2),
      given,
      [40],
      [[{ sequence: 0, from: 0, to: 40 }]],
    );
    const worst = worstOf(reference(given, 0, 40), result);
    assert.ok(worst < 5e-6, String(worst));
  });

  it('rounds less with integers than ggml does with halves', async () => {
    const length = 256;
    const given = shape({ heads: 4, kvHeads: 2, headDim: 128, type: GgmlType.I16 });
    const last = (x: ArrayLike<number>) => Array.from(x).slice(-given.heads * given.valueDim);
    const exact = last(reference(given, 0, length));
    const error = (x: readonly number[]) => Math.hypot(...exact.map((y, at) => y - (x[at] ?? NaN)));
    const [integers] = await attendInCalls(backend(1), given, [length], steps(length, [length]));
    const halves = await attendByGgml(backend(1), given, length);
    const [ours, ggml] = [error(last(integers ?? [])), error(last(halves))];
    assert.ok(ours < ggml / 4, `${ours} and ${ggml}`);
  });

  for (const given of [
    shape({ heads: 4, kvHeads: 2, headDim: 64, type: GgmlType.I16 }),
    shape({ heads: 18, kvHeads: 9, headDim: 128, window: 50, type: GgmlType.I16 }),
    shape({ heads: 4, kvHeads: 1, headDim: 256, valueDim: 64, softcap: 5, type: GgmlType.I16 }),
  ]) {
    it(`agrees with double precision from integers: heads of ${given.headDim}`, async () => {
      const length = 150;
      const exact = reference(given, 0, length);
      const largest = exact.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
      for (const path of kernels.paths) {
        forcePath(kernels, path);
        const [result] = await attendInCalls(backend(1), given, [length], steps(length, [70, 3]));
        const worst = worstOf(exact, result);
        assert.ok(worst < 2e-4 * largest, `${path}: ${worst}`);
      }
      forcePath(kernels, usual);
    });
  }

  it('refuses caches of integers without room for scales or in half blocks, or beside another type', async () => {
    const given = shape({ heads: 4, kvHeads: 2, headDim: 64, type: GgmlType.I16 });
    const { I16, F16 } = GgmlType;
    const wrong: readonly (readonly [TensorSpec, TensorSpec])[] = [
      [spec(I16, 128), spec(I16, 128)],
      [spec(I16, 128 + 64), spec(I16, 128)],
      [spec(I16, 128 + 8), spec(I16, 128 + 8)],
      [spec(I16, 128 + 8, 32), spec(I16, 128)],
      [spec(I16, 128 + 8), spec(I16, 128, 96)],
      [spec(I16, 128 + 8), spec(F16, 128)],
      [spec(F16, 128), spec(I16, 128)],
    ];
    for (const specs of wrong) {
      using caches = new Allocation(backend(1), specs);
      using workspace = new Workspace(backend(1));
      const graph = workspace.begin();
      const input = (name: string, heads: number) =>
        graph.input(name, GgmlType.F32, [64, heads, 1], new Float32Array(64 * heads));
      const [k, v] = caches.tensors as [Tensor, Tensor];
      const slice = { k, v, start: 0, count: 1, past: 0 };
      assert.throws(
        () =>
          cachedAttention(
            ...([kernels, graph, input('q', 4), input('k', 2), input('v', 2)] as const),
            ...([[slice], given] as const),
          ),
        { code: 'graph' },
      );
    }
  });

  for (const type of [GgmlType.F16, GgmlType.Q8_0, GgmlType.F32, GgmlType.I16]) {
    it(`gives the same bytes for every batch size, in type ${type}`, async () => {
      const given = shape({ heads: 4, kvHeads: 2, headDim: 64, type });
      const length = 560; // two chunks
      const whole = await attendInCalls(backend(2), given, [length], steps(length, [length]));
      for (const size of [1, 2, 3, 5, 8, 16, 64, 512]) {
        // Small batches only around the border of the chunks.
        const head = size < 16 ? 490 : 0;
        const calls = [...(head > 0 ? steps(head, [head]) : []), ...steps(length, [size], 0, head)];
        const parts = await attendInCalls(backend(size % 2 ? 1 : 2), given, [length], calls);
        assertSameBytes(whole[0], parts[0], `a batch of ${size}`);
      }
    });
  }

  it('gives the same bytes beside other sequences, and after truncation', async () => {
    const given = shape({ heads: 4, kvHeads: 2, headDim: 128, type: GgmlType.F16, window: 300 });
    const lengths = [560, 90, 30];
    const alone = await attendInCalls(
      backend(1),
      given,
      lengths,
      lengths.flatMap((length, sequence) => steps(length, [length], sequence)),
    );
    const together: Run[][] = [
      [
        { sequence: 1, from: 0, to: 50 },
        { sequence: 0, from: 0, to: 550 },
        { sequence: 2, from: 0, to: 1 },
      ],
      // Everything after a cut is computed again, with other neighbours.
      [
        { sequence: 2, from: 1, to: 30 },
        { sequence: 0, from: 400, to: 560 },
        { sequence: 1, from: 45, to: 90 },
      ],
      [{ sequence: 0, from: 512, to: 560 }],
    ];
    for (const threads of [1, 2] as const) {
      const mixed = await attendInCalls(backend(threads), given, lengths, together);
      for (const [sequence, rows] of alone.entries()) {
        assertSameBytes(rows, mixed[sequence], `sequence ${sequence} in company`);
      }
    }
  });

  for (const given of [
    shape({ heads: 8, kvHeads: 1, headDim: 96, type: GgmlType.F16, softcap: 20 }),
    shape({ heads: 8, kvHeads: 2, headDim: 64, type: GgmlType.I16, softcap: 20 }),
  ]) {
    it(`gives the same bytes on every path that fuses multiply and add, in type ${given.type}`, async () => {
      const results: Float32Array[] = [];
      for (const path of kernels.paths.filter((name) => name !== 'scalar')) {
        forcePath(kernels, path);
        const [rows] = await attendInCalls(backend(2), given, [600], steps(600, [590, 1, 8]));
        if (rows) results.push(rows);
      }
      forcePath(kernels, usual);
      for (const other of results) assertSameBytes(results[0], other, 'the path');
    });
  }

  for (const [name, rope, normed] of rotations) {
    it(`normalises, rotates and stores as ggml does: ${name}`, async () => {
      const given = shape({ heads: 4, kvHeads: 2, headDim: 64, type: GgmlType.F32 });
      const [ours, theirs] = await rotateBothWays(backend(2), given, rope, normed, 37);
      const worst = theirs.reduce(
        (most, x, i) => Math.max(most, Math.abs(x - (ours[i] ?? NaN))),
        0,
      );
      assert.ok(worst < 1e-5, String(worst));
      for (const threads of [1, 2] as const) {
        const parts = await rotateInSteps(backend(threads), given, rope, normed, 37, [1, 7, 2]);
        assertSameBytes(ours, parts, 'steps');
      }
    });

    it(`stores integers of what it normalised and rotated: ${name}`, async () => {
      const given = shape({ heads: 4, kvHeads: 2, headDim: 64, type: GgmlType.I16 });
      const [ours, theirs] = await rotateBothWays(backend(2), given, rope, normed, 37);
      const worst = theirs.reduce(
        (most, x, i) => Math.max(most, Math.abs(x - (ours[i] ?? NaN))),
        0,
      );
      // Where the rotations differ in a bit, an integer may be the next one.
      assert.ok(worst < 1e-3, String(worst));
      const parts = await rotateInSteps(backend(1), given, rope, normed, 37, [1, 7, 2]);
      assertSameBytes(ours, parts, 'steps');
    });
  }
});
