/**
 * Matrix products of the native kernels against ggml's and against double precision, and byte for
 * byte against themselves over numbers of rows, threads and splits, on every path of this machine.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Allocation, writeTensor } from '../../../src/ggml/allocation.js';
import { Backend } from '../../../src/ggml/backend.js';
import { GgmlType, rowBytes, typeName, typeTraits } from '../../../src/ggml/types.js';
import { Workspace } from '../../../src/ggml/workspace.js';
import {
  forcePath,
  multiply,
  normals,
  Panels,
  quantizeActivations,
  quantizeRows,
  randomRows,
  reference,
  relativeError,
  requireKernels,
  runOp,
} from './support.js';

const kernels = requireKernels();
const best = kernels.path;
const types = [
  ...[GgmlType.Q4_0, GgmlType.Q4_1, GgmlType.Q5_0, GgmlType.Q5_1, GgmlType.Q8_0, GgmlType.Q2_K],
  ...[GgmlType.Q3_K, GgmlType.Q4_K, GgmlType.Q5_K, GgmlType.Q6_K, GgmlType.IQ4_NL],
  ...[GgmlType.IQ4_XS, GgmlType.MXFP4, GgmlType.F16, GgmlType.BF16, GgmlType.F32],
  ...[GgmlType.NVFP4, GgmlType.Q1_0, GgmlType.Q2_0, GgmlType.TQ1_0, GgmlType.TQ2_0],
  ...[GgmlType.IQ2_XXS, GgmlType.IQ2_XS, GgmlType.IQ2_S, GgmlType.IQ3_XXS, GgmlType.IQ3_S],
  ...[GgmlType.IQ1_S, GgmlType.IQ1_M],
];
/** [k, n]: whole and partial groups of 256 columns, whole and partial panels. */
function shapesOf(type: GgmlType): readonly (readonly [number, number])[] {
  const name = typeName(type);
  const { blockSize } = typeTraits(type);
  if (blockSize > 32) {
    const cut = blockSize < 256 ? ([[256 + blockSize, 21]] as const) : [];
    return [[256, 16], [1024, 37], [512, 1], ...cut];
  }
  const odd =
    name.startsWith('F') || name === 'BF16'
      ? ([
          [77, 19],
          [1, 5],
        ] as const)
      : [];
  return [[32, 16], [288, 33], [1024, 37], ...odd];
}

let backend: Backend;
let workspace: Workspace;
before(() => {
  backend = new Backend({ threads: 1 });
  workspace = new Workspace(backend, { capacity: 64 });
});
after(() => {
  workspace.dispose();
  backend.dispose();
});

/** The weights as ggml reads them, and its product. */
async function viaGgml(type: GgmlType, k: number, n: number, blocks: Uint8Array, x: Float32Array) {
  using held = new Allocation(backend, [{ name: 'w', type, shape: [k, n] }]);
  const [weight] = held.tensors;
  assert.ok(weight);
  writeTensor(backend, weight, blocks);
  const graph = workspace.begin();
  const ids = graph.indices(
    'ids',
    Array.from({ length: n }, (_, i) => i),
  );
  const rows = graph.output(graph.getRows(weight, ids));
  const input = graph.input('x', GgmlType.F32, [k, x.length / k], x);
  const product = graph.output(graph.mulMat(weight, input));
  await graph.compute();
  return { weights: graph.read(rows), product: graph.read(product) };
}

for (const path of kernels.paths) {
  describe(`path ${path}`, () => {
    before(() => forcePath(kernels, path));
    after(() => forcePath(kernels, best));

    for (const type of types) {
      for (const [k, n] of shapesOf(type)) {
        test(`${typeName(type)} [${k}, ${n}] agrees with ggml and double precision`, async () => {
          const rows = 24;
          const blocks = randomRows(type, k, n, 7 + k);
          const x = normals(k * rows, 11);
          const { weights, product } = await viaGgml(type, k, n, blocks, x);
          const panels = new Panels(kernels, type, k, n, blocks, 2);
          const ids = Int32Array.from({ length: n }, (_, i) => n - 1 - i);
          const read = panels.rows(ids);
          for (let i = 0; i < n; i++) {
            const expected = weights.subarray((n - 1 - i) * k, (n - i) * k);
            assert.ok(
              relativeError(read.subarray(i * k, (i + 1) * k), expected) < 2e-7,
              `row ${i}`,
            );
          }
          const exact = reference(weights, x, k);
          const ours = relativeError(multiply(panels, x), exact);
          const theirs = relativeError(product, exact);
          // With few outputs the two errors differ by chance.
          const chance = n < 16 ? 1.2 : 1.02;
          assert.ok(ours <= theirs * chance + 1e-7, `error ${ours}, ggml's ${theirs}`);
          assert.ok(ours < 0.02, `error ${ours}`);
        });
      }
    }

    test('a row gives the same bytes with any rows beside it, any threads, any split', () => {
      const most = 512;
      for (const type of types) {
        const k = 512;
        const n = 37;
        const blocks = randomRows(type, k, n, 3);
        const panels = new Panels(kernels, type, k, n, blocks);
        const x = normals(k * most, 5);
        const whole = multiply(panels, x, 2);
        for (const rows of [1, 2, 3, 5, 8, 16, 64]) {
          for (const start of [0, 17, most - rows]) {
            for (const threads of [1, 2, 3]) {
              const part = multiply(panels, x.slice(start * k, (start + rows) * k), threads);
              assert.deepEqual(
                part,
                whole.slice(start * n, (start + rows) * n),
                `${typeName(type)}: ${rows} rows from ${start}, ${threads} threads`,
              );
            }
          }
        }
      }
    });

    test('several matrices, a gate and a residual give what single products give', () => {
      const [k, rows] = [256, 5];
      const sizes = [48, 17, 33];
      const kinds = [GgmlType.Q4_K, GgmlType.Q6_K, GgmlType.Q8_0] as const;
      const x = normals(k * rows, 9);
      const act = quantizeActivations(kernels, x, k);
      const matrices = sizes.map((n, i) => {
        const type = kinds[i % 3] ?? GgmlType.Q8_0;
        const blocks = quantizeRows(type, normals(k * n, i + 1, 0.1), k);
        return new Panels(kernels, type, k, n, blocks);
      });
      const values: Record<string, number | ArrayBufferView> = { act, k, rows, count: 3 };
      const outputs = matrices.map((panels, i) => {
        const y = new Float32Array(panels.n * rows);
        Object.assign(values, {
          [`panels${i}`]: panels.address,
          [`type${i}`]: panels.type,
          [`n${i}`]: panels.n,
          [`dst${i}`]: y,
          [`stride${i}`]: panels.n * 4,
        });
        return y;
      });
      runOp(kernels, 'pl_op_linear', values, 2);
      for (const [i, panels] of matrices.entries())
        assert.deepEqual(outputs[i], multiply(panels, x));

      const [a, b] = [1, 2].map((seed) => {
        const blocks = quantizeRows(GgmlType.Q4_0, normals(k * 21, seed, 0.2), k);
        return new Panels(kernels, GgmlType.Q4_0, k, 21, blocks);
      });
      assert.ok(a && b);
      const [ya, yb] = [multiply(a, x), multiply(b, x)];
      const residual = normals(21 * rows, 31);
      for (const epilogue of [0, 1, 2]) {
        const y = new Float32Array(21 * rows);
        runOp(kernels, 'pl_op_linear', {
          ...{ act, k, rows, count: epilogue === 0 ? 1 : 2, epilogue },
          ...{ panels0: a.address, type0: a.type, n0: a.n, dst0: y, stride0: a.n * 4 },
          ...{ panels1: b.address, type1: b.type, n1: b.n },
          ...{ residual, residual_stride: a.n * 4 },
        });
        for (const [i, value] of y.entries()) {
          const g = ya[i] ?? 0;
          const inner = 0.7978845608028654 * (g + 0.044715 * g ** 3);
          const active =
            [g, g / (1 + Math.exp(-g)), 0.5 * g * (1 + Math.tanh(inner))][epilogue] ?? 0;
          const expected = active * (epilogue === 0 ? 1 : (yb[i] ?? 0)) + (residual[i] ?? 0);
          assert.ok(Math.abs(value - expected) < 1e-5 * (1 + Math.abs(expected)));
        }
      }
    });

    test('an RMS norm in front gives the product of the normed rows', () => {
      const [k, n, rows] = [288, 16, 3];
      const x = normals(k * rows, 2, 3);
      const norm = normals(k, 4);
      const y = new Float32Array(k * rows);
      for (let t = 0; t < rows; t++) {
        const row = x.subarray(t * k, (t + 1) * k);
        const mean = row.reduce((sum, v) => sum + v * v, 0) / k;
        for (let c = 0; c < k; c++) {
          y[t * k + c] = ((row[c] ?? 0) / Math.sqrt(mean + 1e-6)) * (norm[c] ?? 0);
        }
      }
      const blocks = quantizeRows(GgmlType.Q8_0, normals(k * n, 1), k);
      const panels = new Panels(kernels, GgmlType.Q8_0, k, n, blocks);
      const act = quantizeActivations(kernels, x, k, { norm, eps: 1e-6 });
      const out = new Float32Array(n * rows);
      runOp(kernels, 'pl_op_linear', {
        ...{ act, k, rows, count: 1 },
        ...{ panels0: panels.address, type0: panels.type, n0: n, dst0: out, stride0: n * 4 },
      });
      assert.ok(relativeError(out, multiply(panels, y)) < 1e-3);
    });

    test('a value that is not finite is not hidden', () => {
      const k = 64;
      const blocks = quantizeRows(GgmlType.Q4_0, normals(k * 4, 1), k);
      const panels = new Panels(kernels, GgmlType.Q4_0, k, 4, blocks);
      for (const bad of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
        const x = normals(k * 2, 3);
        x[k + 5] = bad;
        const y = multiply(panels, x);
        assert.ok(y.subarray(0, 4).every(Number.isFinite));
        assert.ok(!y.subarray(4).some(Number.isFinite));
      }
    });

    test('panels are at most 10% larger than the blocks', () => {
      for (const type of types) {
        const bytes = kernels.functions.pl_panel_bytes(type, 1024, 256);
        const source = rowBytes(type, 1024) * 256;
        // Five digits a byte become four.
        const more = type === GgmlType.TQ1_0 ? 1.26 : 1.1;
        assert.ok(bytes <= source * more, `${typeName(type)}: ${bytes} for ${source}`);
      }
    });
  });
}

test('shapes and types that there are no panels for are refused', () => {
  const { pl_panel_bytes, pl_repack } = kernels.functions;
  assert.equal(pl_panel_bytes(GgmlType.Q4_0, 33, 4), 0);
  assert.equal(pl_panel_bytes(GgmlType.Q4_K, 128, 4), 0);
  assert.equal(pl_panel_bytes(GgmlType.Q8_K, 256, 4), 0);
  assert.equal(pl_panel_bytes(GgmlType.F32, 0, 4), 0);
  assert.equal(pl_repack(GgmlType.Q4_0, new Uint8Array(18), 0, 32, 1, 1, 1, 1), -1);
  assert.equal(kernels.functions.pl_init('avx1024'), 1);
  assert.match(kernels.functions.pl_error() ?? '', /avx1024 is not a known path/);
  forcePath(kernels, best);
});
