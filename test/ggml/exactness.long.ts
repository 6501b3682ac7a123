/**
 * What is said of ggml's products holds: with each type of weights a row's result is the same bytes
 * alone and beside others, in the pieces that `exactRows` allows, and as models multiply.
 */
import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { Allocation, writeTensor } from '../../src/ggml/allocation.js';
import { Backend } from '../../src/ggml/backend.js';
import { exactRows } from '../../src/ggml/exactness.js';
import type { Graph } from '../../src/ggml/graph.js';
import type { Tensor } from '../../src/ggml/tensor.js';
import { GgmlType, isStored, typeName } from '../../src/ggml/types.js';
import { ggmlLayout, Weight, type WeightRole } from '../../src/ggml/weight.js';
import { Workspace } from '../../src/ggml/workspace.js';
import { encodeValues, randomNormal } from '../../src/synthetic/random-model.js';

const integers: readonly GgmlType[] = [
  ...[GgmlType.I8, GgmlType.I16, GgmlType.I32, GgmlType.I64, GgmlType.F64],
];
const types = Object.values(GgmlType).filter((type) => isStored(type) && !integers.includes(type));
const [k, n, experts, used, tokens] = [256, 24, 3, 2, 24] as const;
const backend = new Backend({ threads: 2 });
const workspace = new Workspace(backend, { capacity: 2048 });
after(() => {
  workspace.dispose();
  backend.dispose();
});

const random = randomNormal(11);
const numbers = (count: number) => Float32Array.from({ length: count }, () => random());
const x = numbers(k * tokens);
const ids = Int32Array.from({ length: tokens * used }, (_, at) => (at * 5 + (at >> 3)) % experts);

/** Results of every row in an operation of its own, all in one graph. */
async function resultsAlone(
  build: (graph: Graph, x: Tensor, ids: Tensor) => Tensor,
): Promise<Float32Array[]> {
  const graph = workspace.begin();
  const outputs = Array.from({ length: tokens }, (_, row) => {
    const own = x.slice(row * k, (row + 1) * k);
    const input = graph.input(`x ${row}`, GgmlType.F32, [k, 1], own);
    const chosen = ids.slice(row * used, (row + 1) * used);
    const numbered = graph.input(`ids ${row}`, GgmlType.I32, [used, 1], chosen);
    return graph.output(build(graph, input, numbered));
  });
  await graph.compute();
  return outputs.map((output) => graph.read(output));
}

/** Results of rows [first, first + count) in one graph. */
async function results(
  build: (graph: Graph, x: Tensor, ids: Tensor) => Tensor,
  first: number,
  count: number,
): Promise<Float32Array> {
  const graph = workspace.begin();
  const own = x.slice(first * k, (first + count) * k);
  const input = graph.input('x', GgmlType.F32, [k, count], own);
  const chosen = ids.slice(first * used, (first + count) * used);
  const out = graph.output(
    build(graph, input, graph.input('ids', GgmlType.I32, [used, count], chosen)),
  );
  await graph.compute();
  return graph.read(out);
}

describe('products by ggml', () => {
  for (const type of types) {
    for (const role of ['linear', 'experts'] as const satisfies readonly WeightRole[]) {
      it(`of ${typeName(type)}, ${role}, do not depend on the batch`, async () => {
        const matrices = role === 'experts' ? experts : 1;
        const spec = { name: 'w', type, shape: [k, n, matrices], role } as const;
        using stored = ggmlLayout.allocate(backend, [spec]);
        const data = encodeValues(type, [k, n * matrices], numbers(k * n * matrices));
        for (let matrix = 0; matrix < matrices; matrix++) {
          const size = data.length / matrices;
          await stored.fill(0, matrix, 0, data.subarray(matrix * size, (matrix + 1) * size));
        }
        const weight = new Weight({ ...spec, shape: role === 'experts' ? spec.shape : [k, n] });
        const [storage] = stored.storages;
        assert.ok(storage);
        weight.storage = storage;
        const build = (graph: Graph, input: Tensor, chosen: Tensor) =>
          role === 'linear'
            ? graph.linear(weight, input)
            : graph.experts(weight, graph.reshape(input, [k, 1, input.shape[1]]), chosen);
        const alone = await resultsAlone(build);
        for (const count of [2, 7, 8, tokens]) {
          const together = await results(build, 0, count);
          const width = together.length / count;
          for (let row = 0; row < count; row++) {
            const own = together.slice(row * width, (row + 1) * width);
            const expected = alone[row] as Float32Array;
            const same = Buffer.from(own.buffer).equals(Buffer.from(expected.buffer));
            assert.ok(same, `row ${row} of ${count}`);
          }
        }
      });
    }
  }

  it('are cut for no type of our kernels', () => {
    for (const type of types) assert.equal(exactRows(type, { native: true }), Infinity);
  });

  it('are cut for no more than has to be', async () => {
    // F32 shows that the cut is needed: in one product rows differ from those alone.
    using stored = new Allocation(backend, [{ name: 'w', type: GgmlType.F32, shape: [k, n] }]);
    const [matrix] = stored.tensors as [Tensor];
    writeTensor(backend, matrix, numbers(k * n));
    const plain = (graph: Graph, input: Tensor) => graph.mulMat(matrix, input);
    const [one, many] = [await results(plain, 0, 1), await results(plain, 0, 16)];
    const same = Buffer.from(one.buffer).equals(Buffer.from(many.slice(0, n).buffer));
    const needed = exactRows(GgmlType.F32, { native: false }) < 16;
    assert.ok(same || needed);
  });
});
