/** Weights as panels in graphs: against ggml's layout, and fused against not fused. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Backend } from '../../../src/ggml/backend.js';
import type { Graph } from '../../../src/ggml/graph.js';
import { panelLayout } from '../../../src/ggml/native/panels.js';
import type { Tensor } from '../../../src/ggml/tensor.js';
import { GgmlType } from '../../../src/ggml/types.js';
import {
  ggmlLayout,
  Weight,
  type WeightAllocation,
  type WeightLayout,
  type WeightSpec,
} from '../../../src/ggml/weight.js';
import { Workspace } from '../../../src/ggml/workspace.js';
import { normals, quantizeRows, relativeError, requireKernels } from './support.js';

const kernels = requireKernels();
const [k, n, experts] = [256, 48, 4];
const specs: readonly WeightSpec[] = [
  { name: 'a', type: GgmlType.Q4_K, shape: [k, n], role: 'linear' },
  { name: 'b', type: GgmlType.Q6_K, shape: [k, n], role: 'linear+rows' },
  { name: 'c', type: GgmlType.F16, shape: [k, 33], role: 'linear' },
  { name: 'gate', type: GgmlType.Q4_0, shape: [k, n, experts], role: 'experts' },
  { name: 'up', type: GgmlType.Q8_0, shape: [k, n, experts], role: 'experts' },
];
const norm: WeightSpec = { name: 'norm', type: GgmlType.F32, shape: [k], role: 'vector' };

interface Loaded {
  readonly weights: readonly Weight[];
  readonly allocation: WeightAllocation;
}

async function load(backend: Backend, layout: WeightLayout): Promise<Loaded> {
  const allocation = layout.allocate(backend, specs);
  for (const [index, { type, shape }] of specs.entries()) {
    const rows = shape[1] ?? 1;
    for (let matrix = 0; matrix < (shape[2] ?? 1); matrix++) {
      const blocks = quantizeRows(type, normals(k * rows, index * 10 + matrix, 0.1), k);
      await allocation.fill(index, matrix, 0, blocks);
    }
  }
  const weights = specs.map((spec, index) => {
    const weight = new Weight(spec);
    const storage = allocation.storages[index];
    if (storage !== undefined) weight.storage = storage;
    return weight;
  });
  return { weights, allocation };
}

describe('panels in a graph', () => {
  let backend: Backend;
  let workspace: Workspace;
  let ours: Loaded;
  let theirs: Loaded;
  let vectors: WeightAllocation;
  const normWeight = new Weight(norm);

  before(async () => {
    backend = new Backend({ threads: 2 });
    workspace = new Workspace(backend, { capacity: 512 });
    ours = await load(backend, panelLayout(kernels));
    theirs = await load(backend, ggmlLayout);
    vectors = ggmlLayout.allocate(backend, [norm]);
    const [storage] = vectors.storages;
    assert.ok(storage);
    normWeight.storage = storage;
    await vectors.fill(0, 0, 0, new Uint8Array(normals(k, 77).buffer));
  });
  after(() => {
    ours.allocation.dispose();
    theirs.allocation.dispose();
    vectors.dispose();
    workspace.dispose();
    backend.dispose();
  });

  async function compute(
    build: (graph: Graph, weights: readonly Weight[]) => readonly Tensor[],
    { weights }: Loaded,
  ): Promise<{ results: readonly Float32Array[]; operations: number }> {
    const graph = workspace.begin();
    const outputs = build(graph, weights).map((tensor) => graph.output(tensor));
    await graph.compute();
    return { results: outputs.map((tensor) => graph.read(tensor)), operations: graph.operations };
  }

  async function agree(
    build: (graph: Graph, weights: readonly Weight[]) => readonly Tensor[],
    bound = 0.02,
  ): Promise<readonly [number, number]> {
    const one = await compute(build, ours);
    const other = await compute(build, theirs);
    for (const [index, result] of one.results.entries()) {
      const error = relativeError(result, other.results[index] ?? []);
      assert.ok(error < bound, `result ${index}: ${error}`);
    }
    return [one.operations, other.operations];
  }

  const input = (graph: Graph, rows: number) =>
    graph.input('x', GgmlType.F32, [k, rows], normals(k * rows, rows));

  test('products, one by one and together', async () => {
    for (const rows of [1, 3, 40]) {
      await agree((graph, [a, b, c]) => {
        assert.ok(a && b && c);
        const x = input(graph, rows);
        return [...graph.linearAll([a, b, c], x), graph.linear(a, x), graph.linear(c, x)];
      });
    }
  });

  test('a gate and rows of the same store', async () => {
    await agree((graph, [a, b]) => {
      assert.ok(a && b);
      const ids = graph.indices('ids', [5, 0, 47]);
      const x = graph.rows(b, ids);
      return [x, graph.gated(a, b, x, 'silu'), graph.gated(a, b, x, 'gelu')];
    });
  });

  test('experts', async () => {
    await agree((graph, [, , , gate, up]) => {
      assert.ok(gate && up);
      const x = graph.reshape(input(graph, 6), [k, 1, 6]);
      const chosen = Int32Array.from({ length: 12 }, (_, i) => (i * 3 + (i >> 1)) % experts);
      const ids = graph.input('ids', GgmlType.I32, [2, 6], chosen);
      return [graph.gatedExperts(gate, up, x, ids, 'silu'), graph.experts(up, x, ids)];
    });
  });

  test("the experts' weighted sum takes the residual along", async () => {
    const [slots, tokens] = [2, 6];
    const [fused] = await agree((graph, [, , , gate]) => {
      assert.ok(gate);
      const rows = normals(k * slots * tokens, 7);
      const x = graph.input('x', GgmlType.F32, [k, slots, tokens], rows);
      const chosen = Int32Array.from({ length: slots * tokens }, (_, i) => (i * 3) % experts);
      const ids = graph.input('ids', GgmlType.I32, [slots, tokens], chosen);
      const factors = normals(slots * tokens, 8);
      const weights = graph.input('weights', GgmlType.F32, [1, slots, tokens], factors);
      const residual = graph.input('residual', GgmlType.F32, [n, tokens], normals(n * tokens, 4));
      return [graph.add(residual, graph.mixedExperts(gate, x, ids, weights))];
    });
    assert.equal(fused, 3); // one quantisation, the products, the sum
  });

  test('a norm in front and a sum behind are done in the same pass', async () => {
    for (const rows of [1, 5, 64]) {
      const build = (graph: Graph, [a, b]: readonly Weight[]) => {
        assert.ok(a && b);
        const x = input(graph, rows);
        const bias = graph.input('bias', GgmlType.F32, [n], normals(n, 3));
        const residual = graph.input('residual', GgmlType.F32, [n, rows], normals(n * rows, 4));
        const normed = graph.rmsNorm(x, normWeight.tensor, 1e-6);
        return [
          graph.add(residual, graph.linear(a, normed)),
          graph.add(graph.linear(b, normed), bias),
        ];
      };
      const [fused, apart] = await agree(build);
      assert.equal(fused, 3); // one quantisation, two products
      assert.equal(apart, 6); // norm, scale, two products, two sums
    }
  });

  test('a sum of rows that are spaced out, and a result that is also read alone', async () => {
    await agree((graph, [a]) => {
      assert.ok(a);
      const wide = graph.input('wide', GgmlType.F32, [n * 2, 5], normals(n * 10, 8));
      const part = graph.view(wide, [n, 5], [n * 8], n * 4);
      const y = graph.linear(a, input(graph, 5));
      return [graph.add(part, y), y];
    });
  });
});
