/**
 * Products look at the abort flag on the way. `native/test/linear_test.cpp` checks what an aborted
 * product leaves behind; here the operations of a graph are seen to look at their backend's flag.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { writeTensor } from '../../../src/ggml/allocation.js';
import { Backend } from '../../../src/ggml/backend.js';
import type { Graph } from '../../../src/ggml/graph.js';
import { panelLayout } from '../../../src/ggml/native/panels.js';
import { reserveParameters } from '../../../src/ggml/native/parameters.js';
import type { Tensor } from '../../../src/ggml/tensor.js';
import { GgmlType } from '../../../src/ggml/types.js';
import { Weight, type WeightAllocation, type WeightSpec } from '../../../src/ggml/weight.js';
import { Workspace } from '../../../src/ggml/workspace.js';
import { addressOf, normals, quantizeRows, requireKernels } from './support.js';

const kernels = requireKernels();
const [k, n, rows] = [256, 64, 20];
const specs: readonly WeightSpec[] = [
  { name: 'matrix', type: GgmlType.Q4_0, shape: [k, n], role: 'linear' },
  { name: 'experts', type: GgmlType.Q8_0, shape: [k, n, 1], role: 'experts' },
];

describe('an aborted product in a graph', () => {
  let backend: Backend;
  let workspace: Workspace;
  let allocation: WeightAllocation;
  let matrix: Weight;
  let experts: Weight;
  before(async () => {
    backend = new Backend({ threads: 2 });
    workspace = new Workspace(backend);
    allocation = panelLayout(kernels).allocate(backend, specs);
    const weights: Weight[] = [];
    for (const [index, spec] of specs.entries()) {
      await allocation.fill(index, 0, 0, quantizeRows(spec.type, normals(k * n, index), k));
      const weight = new Weight(spec);
      const storage = allocation.storages[index];
      if (storage !== undefined) weight.storage = storage;
      weights.push(weight);
    }
    [matrix, experts] = weights as [Weight, Weight];
    // ggml itself looks elsewhere: it would end the graph before the products begin.
    backend.setAbortCallback(kernels.address('pl_abort_flag'), addressOf(neverRaised));
  });
  after(() => {
    workspace.dispose();
    allocation.dispose();
    backend.dispose();
  });
  const neverRaised = new Int32Array(1);

  /** Puts an operation into a graph that raises the backend's flag: it copies a row of weights there. */
  function raiseFlag(graph: Graph): void {
    const parameters = reserveParameters(kernels, graph, 'pl_get_rows');
    const mark = graph.custom({
      ...({ name: 'raise', type: GgmlType.I32, shape: [1], sources: [], tasks: 1 } as const),
      function: kernels.address('pl_op_get_rows'),
      userdata: parameters.address,
    });
    const one = graph.keep(new Float32Array([1]));
    const ids = graph.keep(new Int32Array(1));
    parameters.write({
      ...{ panels: addressOf(one), type: GgmlType.F32, k: 1, n: 1, ids: addressOf(ids), count: 1 },
      ...{ dst: backend.abortFlag, stride: 4 },
    });
    graph.expand(mark);
  }

  /** What is in the result when it held only NaN before. */
  async function computed(
    product: (graph: Graph, x: Tensor) => Tensor,
    raised: boolean,
  ): Promise<Float32Array> {
    const graph = workspace.begin();
    // An output, so that the result does not take over its memory.
    const x = graph.output(graph.input('x', GgmlType.F32, [k, 1, rows], normals(k * rows, 3)));
    if (raised) raiseFlag(graph);
    const result = graph.output(product(graph, x));
    const nothing = new Float32Array(result.elements).fill(Number.NaN);
    graph.beforeRun(() => writeTensor(backend, result, nothing));
    await graph.compute();
    return graph.read(result);
  }

  const products: Readonly<Record<string, (graph: Graph, x: Tensor) => Tensor>> = {
    'with a matrix': (graph, x) => graph.linear(matrix, x),
    'with experts': (graph, x) =>
      graph.experts(experts, x, graph.input('ids', GgmlType.I32, [1, rows], new Int32Array(rows))),
  };
  for (const [name, product] of Object.entries(products)) {
    it(`writes nothing, and the next one everything: ${name}`, async () => {
      assert.ok((await computed(product, true)).every(Number.isNaN));
      assert.ok((await computed(product, false)).every(Number.isFinite));
    });
  }
});
