/** Activations of the native kernels against double precision, alone and beside others, on every path. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Backend } from '../../../src/ggml/backend.js';
import { nativeCap, nativeGate } from '../../../src/ggml/native/gate.js';
import { GgmlType } from '../../../src/ggml/types.js';
import { Workspace } from '../../../src/ggml/workspace.js';
import { forcePath, normals, relativeError, requireKernels } from './support.js';

const kernels = requireKernels();
const best = kernels.path;

const sigmoid = (z: number) => 1 / (1 + Math.exp(-z));
const exact = {
  silu: (a: number, b: number) => a * sigmoid(a) * b,
  gelu: (a: number, b: number) =>
    0.5 * a * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (a + 0.044715 * a ** 3))) * b,
  sigmoid: (a: number, b: number) => sigmoid(a) * b,
  'swiglu-oai': (a: number, b: number) => {
    const [g, y] = [Math.min(a, 7), Math.min(7, Math.max(-7, b))];
    return g * sigmoid(1.702 * g) * (y + 1);
  },
} as const;

/** Far from 0 too, where exponentials end. */
function numbers(count: number, seed: number): Float32Array {
  return normals(count, seed).map((x, at) => x * ([1, 8, 200][at % 3] ?? 1));
}

async function run(
  kind: keyof typeof exact | 'cap',
  a: Float32Array,
  b: Float32Array,
  threads: number,
): Promise<Float32Array> {
  using backend = new Backend({ threads });
  using workspace = new Workspace(backend, { capacity: 64 });
  const graph = workspace.begin();
  const x = graph.input('a', GgmlType.F32, [a.length], a);
  const y = graph.input('b', GgmlType.F32, [b.length], b);
  const made =
    kind === 'cap' ? nativeCap(kernels, graph, x, 30) : nativeGate(kernels, graph, x, y, kind);
  assert.ok(made);
  const result = graph.output(made);
  await graph.compute();
  assert.equal(graph.operations, 1);
  return graph.read(result);
}

for (const path of kernels.paths) {
  describe(`path ${path}`, () => {
    before(() => forcePath(kernels, path));
    after(() => forcePath(kernels, best));

    for (const kind of [...(Object.keys(exact) as (keyof typeof exact)[]), 'cap'] as const) {
      test(`${kind} of any number of elements, the same in any part`, async () => {
        for (const count of [1, 77, 20_001]) {
          const [a, b] = [numbers(count, 3), numbers(count, 4)];
          const expected = Float64Array.from(a, (value, at) =>
            kind === 'cap' ? 30 * Math.tanh(value / 30) : exact[kind](value, b[at] ?? 0),
          );
          const all = await run(kind, a, b, 1);
          assert.ok(
            relativeError(all, expected) < 1e-6,
            `${count}: ${relativeError(all, expected)}`,
          );
          assert.deepEqual(await run(kind, a, b, 2), all);
          const end = Math.max(0, count - 13);
          assert.deepEqual(await run(kind, a.slice(end), b.slice(end), 1), all.slice(end));
        }
      });
    }
  });
}
