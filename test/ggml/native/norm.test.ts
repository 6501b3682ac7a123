/** RMS norms of the native kernels against double precision, and as a part of a graph. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Backend } from '../../../src/ggml/backend.js';
import { nativeNorm } from '../../../src/ggml/native/norm.js';
import { GgmlType } from '../../../src/ggml/types.js';
import { Workspace } from '../../../src/ggml/workspace.js';
import { forcePath, normals, relativeError, requireKernels, runOp } from './support.js';

const kernels = requireKernels();
const best = kernels.path;
const epsilon = 1e-6;

function exact(x: Float32Array, k: number, weight: Float32Array, residual?: Float32Array) {
  return Float64Array.from(x, (value, at) => {
    const row = x.subarray(at - (at % k), at - (at % k) + k);
    const mean = row.reduce((sum, one) => sum + one * one, 0) / k;
    return (value / Math.sqrt(mean + epsilon)) * (weight[at % k] ?? 0) + (residual?.[at] ?? 0);
  });
}

for (const path of kernels.paths) {
  describe(`path ${path}`, () => {
    before(() => forcePath(kernels, path));
    after(() => forcePath(kernels, best));

    test('rows of any width, the same alone and beside others', () => {
      for (const k of [1, 16, 100, 256, 333]) {
        const rows = 7;
        const [x, weight] = [normals(k * rows, 3), normals(k, 4)];
        for (const residual of [undefined, normals(k * rows, 5)]) {
          const run = (from: number, count: number, threads: number) => {
            const part = (all: Float32Array) => all.slice(from * k, (from + count) * k);
            const dst = new Float32Array(count * k).fill(Number.NaN);
            runOp(
              kernels,
              'pl_op_rms_norm',
              {
                ...{ x: part(x), x_stride: k * 4, k, rows: count, weight, eps: epsilon, dst },
                ...(residual ? { residual: part(residual), residual_stride: k * 4 } : {}),
              },
              threads,
            );
            return dst;
          };
          const all = run(0, rows, 1);
          assert.ok(relativeError(all, exact(x, k, weight, residual)) < 2e-7, `${k} columns`);
          assert.deepEqual(run(0, rows, 3), all);
          assert.deepEqual(run(4, 1, 2), all.slice(4 * k, 5 * k));
        }
      }
    });
  });
}

test('a norm of rows that are spaced out takes a residual along', async () => {
  const [k, rows] = [96, 5];
  using backend = new Backend({ threads: 2 });
  using workspace = new Workspace(backend, { capacity: 64 });
  const graph = workspace.begin();
  const data = normals(2 * k * rows, 3);
  const [factors, added] = [normals(k, 4), normals(k * rows, 5)];
  const wide = graph.input('wide', GgmlType.F32, [2 * k, rows], data);
  const part = graph.view(wide, [k, rows], [2 * k * 4], k * 4);
  const weight = graph.input('weight', GgmlType.F32, [k], factors);
  const residual = graph.input('residual', GgmlType.F32, [k, rows], added);
  const normed = nativeNorm(kernels, graph, part, weight, epsilon);
  assert.ok(normed);
  const sum = graph.output(graph.add(residual, normed));
  await graph.compute();
  const x = data.filter((_, at) => at % (2 * k) >= k);
  assert.ok(relativeError(graph.read(sum), exact(x, k, factors, added)) < 2e-7);
  assert.equal(graph.operations, 2); // the view and the norm
});
