/**
 * Whether ggml's own operations that stay in our graphs give a row the same bytes whatever rows are
 * beside it and by however many threads: norms, rotation, the router's softmax and choice, the
 * activation, sums. (Products and attention are our own.)
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Backend } from '../../../src/ggml/backend.js';
import type { Graph, RopeOptions } from '../../../src/ggml/graph.js';
import type { Tensor } from '../../../src/ggml/tensor.js';
import { GgmlType } from '../../../src/ggml/types.js';
import { Workspace } from '../../../src/ggml/workspace.js';
import { normals } from './support.js';

const width = 200; // not a multiple of a vector
const rows = 512;
const data = normals(width * rows, 3);
// Equal values are where a choice of the largest could differ.
for (let row = 0; row < rows; row++) data[row * width + 7] = data[row * width + 3] ?? 0;

type Build = (graph: Graph, x: Tensor, from: number) => Tensor;
const rope: RopeOptions = {
  ...{ dimensions: 50, pairs: 'halves', base: 10000, scale: 1, yarn: 0, magnitude: 1 },
  ...{ betaFast: 32, betaSlow: 1, originalContext: 512 },
};
const operations: Readonly<Record<string, Build>> = {
  'RMS norm': (graph, x) => {
    const weight = graph.input('weight', GgmlType.F32, [width], normals(width, 5));
    return graph.rmsNorm(x, weight, 1e-6);
  },
  rotation: (graph, x, from) => {
    const count = x.shape[1];
    const positions = Array.from({ length: count }, (_, i) => from + i);
    const heads = graph.reshape(x, [50, 4, count]);
    return graph.reshape(graph.rope(heads, graph.indices('p', positions), rope), [width, count]);
  },
  softmax: (graph, x) => graph.softmax(x),
  'the largest': (graph, x) => graph.cont(graph.topK(x, 8)),
  activation: (graph, x) => graph.gate(x, graph.scale(x, 0.5), 'silu'),
  sums: (graph, x) => graph.div(x, graph.sumRows(graph.mul(x, x))),
};

describe("a row's bytes in ggml's operations", () => {
  let backends: readonly Backend[] = [];
  before(() => {
    backends = [new Backend({ threads: 1 }), new Backend({ threads: 2 })];
  });
  after(() => {
    for (const backend of backends) backend.dispose();
  });

  async function run(backend: Backend, build: Build, size: number): Promise<Buffer> {
    using workspace = new Workspace(backend, { capacity: 64 });
    const pieces: Buffer[] = [];
    // Small batches are tried on the first rows only.
    const all = size < 16 ? 30 : rows;
    for (let from = 0; from < all; from += size) {
      const to = Math.min(all, from + size);
      const graph = workspace.begin();
      const piece = data.slice(from * width, to * width);
      const x = graph.input('x', GgmlType.F32, [width, to - from], piece);
      const result = graph.output(build(graph, x, from));
      await graph.compute();
      const values = result.type === GgmlType.I32 ? graph.readIndices(result) : graph.read(result);
      pieces.push(Buffer.from(values.buffer, values.byteOffset, values.byteLength));
    }
    return Buffer.concat(pieces);
  }

  for (const [name, build] of Object.entries(operations)) {
    it(`are the same for every batch: ${name}`, async () => {
      const whole = await run(backends[1] as Backend, build, rows);
      for (const size of [1, 2, 3, 5, 8, 16, 64, 512]) {
        const parts = await run(backends[size % 2 ? 0 : 1] as Backend, build, size);
        assert.ok(whole.subarray(0, parts.length).equals(parts), `batches of ${size}`);
      }
    });
  }
});
