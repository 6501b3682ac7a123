/** Graphs refuse what ggml would abort the process for, and compute what they say. */
import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { PacelineError } from '../../src/base/errors.js';
import { Allocation, readTensorBytes, writeTensor } from '../../src/ggml/allocation.js';
import { Backend } from '../../src/ggml/backend.js';
import type { Graph } from '../../src/ggml/graph.js';
import type { Tensor } from '../../src/ggml/tensor.js';
import { GgmlType } from '../../src/ggml/types.js';
import { ggmlLayout, Weight } from '../../src/ggml/weight.js';
import { Workspace } from '../../src/ggml/workspace.js';

const { F32, F16, I32, I64, Q4_0 } = GgmlType;
const backend = new Backend({ threads: 1 });
const workspace = new Workspace(backend);
after(() => {
  workspace.dispose();
  backend.dispose();
});

const ramp = (count: number) => Float32Array.from({ length: count }, (_, at) => at);

/** Computes one tensor and returns its elements. */
async function value(build: (graph: Graph) => Tensor): Promise<number[]> {
  const graph = workspace.begin();
  const result = graph.output(build(graph));
  await graph.compute();
  return [...graph.read(result)];
}

const input = (graph: Graph, ...shape: number[]) =>
  graph.input('x', F32, shape, ramp(shape.reduce((a, b) => a * b, 1)));

describe('operations', () => {
  it('compute what they say', async () => {
    assert.deepEqual(await value((g) => g.add(input(g, 2, 2), input(g, 2))), [0, 2, 2, 4]);
    assert.deepEqual(await value((g) => g.sumRows(input(g, 3, 2))), [3, 12]);
    assert.deepEqual(await value((g) => g.mulMat(input(g, 2, 3), input(g, 2, 1))), [1, 3, 5]);
    assert.deepEqual(await value((g) => g.rowRange(input(g, 2, 4), 1, 2)), [2, 3, 4, 5]);
    assert.deepEqual(await value((g) => g.clamp(input(g, 4), 1, 2)), [1, 1, 2, 2]);
    assert.deepEqual(await value((g) => g.concat(input(g, 1), input(g, 2), 0)), [0, 0, 1]);
    const turned = (g: Graph) => g.cont(g.permute(input(g, 2, 3), [1, 0, 2, 3]));
    assert.deepEqual(await value(turned), [0, 2, 4, 1, 3, 5]);
    const chosen = (g: Graph) => g.getRows(input(g, 2, 3), g.indices('rows', [2, 0]));
    assert.deepEqual(await value(chosen), [4, 5, 0, 1]);
  });

  it('put the largest first', async () => {
    const graph = workspace.begin();
    const x = graph.input('x', F32, [5], Float32Array.of(1, 9, 3, 7, 5));
    const top = graph.output(
      graph.cast(graph.getRows(graph.reshape(x, [1, 5]), graph.topK(x, 3)), F32),
    );
    await graph.compute();
    assert.deepEqual([...graph.read(top)], [9, 7, 5]);
  });

  it('write to stored tensors in the order they were added', async () => {
    using stored = new Allocation(backend, [{ name: 'cache', type: F32, shape: [2, 3] }]);
    const [cache] = stored.tensors as [Tensor];
    stored.clear();
    const graph = workspace.begin();
    const x = input(graph, 2, 2);
    graph.expand(graph.copy(x, graph.rowRange(cache, 1, 2)));
    const sum = graph.output(graph.sumRows(graph.view(cache, [2, 3])));
    await graph.compute();
    assert.deepEqual([...graph.read(sum)], [0, 1, 5]);
    const bytes = new Float32Array(6);
    readTensorBytes(backend, cache, bytes);
    assert.deepEqual([...bytes], [0, 0, 0, 1, 2, 3]);
  });

  it('run as C functions with their arguments', async () => {
    const graph = workspace.begin();
    const x = input(graph, 4);
    const made = graph.custom({
      name: 'nothing',
      type: F32,
      shape: [4],
      sources: [x],
      function: backend.ggml.flagReader, // any C function without effect
      userdata: workspace.context,
    });
    graph.output(made);
    await graph.compute();
    assert.equal(graph.read(made).length, 4);
  });
});

describe('a graph refuses, naming the tensor,', () => {
  const cases: Record<string, (graph: Graph) => unknown> = {
    'products of unequal inner extents': (g) => g.mulMat(input(g, 4, 2), input(g, 3, 2)),
    'products with transposed factors': (g) =>
      g.mulMat(g.permute(input(g, 2, 4), [1, 0, 2, 3]), input(g, 4, 2)),
    'products of integers': (g) => g.mulMat(g.input('x', I32, [4, 2]), input(g, 4, 2)),
    'sums that do not repeat': (g) => g.add(input(g, 4), input(g, 3)),
    'sums with empty tensors': (g) => g.add(input(g, 4), input(g, 0)),
    'sums of other types': (g) => g.add(g.input('x', F16, [4]), input(g, 4)),
    'reshapes that change the size': (g) => g.reshape(input(g, 4), [3]),
    'reshapes of views with gaps': (g) => g.reshape(g.view(input(g, 4, 2), [2, 2], [16]), [4]),
    'views past the end': (g) => g.view(input(g, 4, 2), [4, 2], [16], 16),
    'permutations that are none': (g) => g.permute(input(g, 4), [0, 0, 1, 2]),
    'rows by floats': (g) => g.getRows(input(g, 2, 3), input(g, 1)),
    'copies of other sizes': (g) => g.copy(input(g, 4), input(g, 3)),
    'rows written to another width': (g) =>
      g.setRows(input(g, 4, 4), input(g, 3, 1), g.input('rows', I64, [1])),
    'experts that do not fit the tokens': (g) =>
      g.mulMatId(input(g, 4, 2, 3), input(g, 4, 1, 2), g.indices('ids', [0])),
    'too many largest': (g) => g.topK(input(g, 4), 5),
    'rotation of odd dimensions': (g) =>
      g.rope(input(g, 4, 1, 1), g.indices('positions', [0]), { ...rope, dimensions: 3 }),
    'rotation without a position a token': (g) =>
      g.rope(input(g, 4, 1, 2), g.indices('positions', [0]), rope),
    'masks that do not fit': (g) => g.softmax(input(g, 4, 2), { mask: input(g, 3, 2) }),
    'attention over unequal heads': (g) =>
      g.flashAttention(input(g, 4, 1, 2), input(g, 8, 3, 1), input(g, 8, 3, 1), undefined, {
        scale: 1,
      }),
    'gates of unequal shapes': (g) => g.gate(input(g, 4), input(g, 4, 2), 'silu'),
    'concatenation of unequal extents': (g) => g.concat(input(g, 4, 2), input(g, 3, 2), 1),
    'too many sources': (g) =>
      g.custom({
        name: 'op',
        type: F32,
        shape: [1],
        sources: new Array(10).fill(input(g, 1)),
        function: 1,
        userdata: 0,
      }),
    'null functions': (g) =>
      g.custom({ name: 'op', type: F32, shape: [1], sources: [], function: 0, userdata: 0 }),
    'data of another size': (g) => g.input('x', F32, [4], ramp(3)),
    'weights that do not fit': (g) =>
      g.linear(new Weight({ name: 'w', type: F32, shape: [3, 2], role: 'linear' }), input(g, 4)),
  };
  const rope = {
    dimensions: 4,
    pairs: 'halves',
    base: 10000,
    scale: 1,
    yarn: 0,
    magnitude: 1,
    betaFast: 32,
    betaSlow: 1,
    originalContext: 64,
  } as const;
  for (const [name, build] of Object.entries(cases)) {
    it(name, () => {
      assert.throws(
        () => build(workspace.begin()),
        (error) =>
          PacelineError.is(error) &&
          error.code === 'graph' &&
          /\[|x|op|function/.test(error.message),
      );
    });
  }

  it('reading what is no output, or before it is computed', async () => {
    const graph = workspace.begin();
    const x = input(graph, 2);
    const y = graph.output(graph.scale(x, 2));
    assert.throws(() => graph.read(y), { code: 'graph' });
    await graph.compute();
    assert.throws(() => graph.read(x), { code: 'graph' });
    assert.throws(() => graph.scale(x, 2), { code: 'graph' });
    assert.throws(() => graph.read(y, 1, 2), { code: 'graph' });
    workspace.begin();
    assert.throws(() => graph.read(y), { code: 'graph' });
  });

  it('more tensors than the workspace has room for', () => {
    using small = new Workspace(backend, { capacity: 10 });
    const graph = small.begin();
    let x = input(graph, 1);
    assert.throws(
      () => {
        for (let count = 0; count < 20; count++) x = graph.scale(x, 2);
      },
      { code: 'graph' },
    );
  });
});

describe('weights', () => {
  it('in the layout of the file multiply, and give rows', async () => {
    const spec = { name: 'w', type: F32, shape: [2, 3], role: 'linear+rows' } as const;
    using allocation = ggmlLayout.allocate(backend, [spec]);
    await allocation.fill(0, 0, 0, new Uint8Array(ramp(4).buffer));
    await allocation.fill(0, 0, 2, new Uint8Array(Float32Array.of(4, 5).buffer));
    const weight = new Weight(spec);
    assert.throws(() => weight.storage, { code: 'internal' });
    const [storage] = allocation.storages;
    assert.ok(storage);
    weight.storage = storage;
    assert.deepEqual(await value((g) => g.linear(weight, input(g, 2, 1))), [1, 3, 5]);
    assert.deepEqual(await value((g) => g.rows(weight, g.indices('ids', [2]))), [4, 5]);
    assert.equal(ggmlLayout.bytes({ ...spec, type: Q4_0, shape: [64, 3] }), 108);
  });

  it('never write past their end', () => {
    using stored = new Allocation(backend, [{ name: 'w', type: F32, shape: [2] }]);
    const [tensor] = stored.tensors as [Tensor];
    assert.throws(() => writeTensor(backend, tensor, ramp(3)), { code: 'graph' });
    assert.throws(() => writeTensor(backend, tensor, ramp(2), 4), { code: 'graph' });
    assert.throws(() => readTensorBytes(backend, tensor, ramp(1), 8), { code: 'graph' });
  });
});
