/**
 * Short gated convolutions through graphs: right against double precision, and the same bytes however a
 * text was split into passes, what was undone on the way, by how many threads and beside which neighbour.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { RecurrentMemory } from '../../../src/cache/recurrent-memory.js';
import { Backend } from '../../../src/ggml/backend.js';
import { shortConvolution } from '../../../src/ggml/native/short-convolution.js';
import { loggedRows, shortConvolutionShape } from '../../../src/ggml/recurrent-shape.js';
import { GgmlType } from '../../../src/ggml/types.js';
import { Workspace } from '../../../src/ggml/workspace.js';
import { randomNormal } from '../../../src/synthetic/random-model.js';
import { requireKernels } from './support.js';

const length = 70;
const cases = [
  { channels: 600, kernel: 3 },
  { channels: 7, kernel: 8 },
  { channels: 256, kernel: 1 },
  { channels: 257, kernel: 4 },
];
type Sizes = (typeof cases)[number];

interface Inputs {
  readonly mix: Float32Array;
  readonly weights: Float32Array;
}

function inputsOf({ channels, kernel }: Sizes, seed: number): Inputs {
  const random = randomNormal(seed);
  const make = (count: number) => Float32Array.from({ length: count }, random);
  return { weights: make(kernel * channels), mix: make(length * 3 * channels) };
}

function reference({ channels, kernel }: Sizes, { mix, weights }: Inputs): Float64Array {
  const part = (row: number, which: number, c: number) =>
    row < 0 ? 0 : (mix[(3 * row + which) * channels + c] as number);
  return Float64Array.from({ length: length * channels }, (_, at) => {
    const [row, c] = [Math.floor(at / channels), at % channels];
    let sum = 0;
    for (let tap = 0; tap < kernel; tap++) {
      const from = row - (kernel - 1) + tap;
      sum += (weights[c * kernel + tap] as number) * part(from, 0, c) * part(from, 2, c);
    }
    return part(row, 1, c) * sum;
  });
}

describe('native short convolution', () => {
  const kernels = requireKernels();
  const backends: Backend[] = [];
  const workspaces: Workspace[] = [];
  before(() => {
    for (const threads of [1, 3]) backends.push(new Backend({ threads }));
    for (const backend of backends) workspaces.push(new Workspace(backend));
  });
  after(() => {
    for (const workspace of workspaces) workspace.dispose();
    for (const backend of backends) backend.dispose();
  });

  /** A text, and the rows of it that were kept. */
  interface Sequence {
    readonly memory: RecurrentMemory;
    readonly inputs: Inputs;
    rows: number;
  }

  const open = (sizes: Sizes, inputs: Inputs, threads: 0 | 1): Sequence => ({
    memory: new RecurrentMemory({
      backend: backends[threads] as Backend,
      layers: [shortConvolutionShape(sizes)],
    }),
    inputs,
    rows: 0,
  });

  /** The next rows of some sequences in one pass, of which `kept` stay (default: all). */
  async function pass(
    { channels, kernel }: Sizes,
    parts: readonly { readonly of: Sequence; readonly count: number; readonly kept?: number }[],
    threads: 0 | 1,
  ): Promise<Float32Array[]> {
    const graph = (workspaces[threads] as Workspace).begin();
    const width = 3 * channels;
    const rows = parts.flatMap(({ of, count }) => [
      ...of.inputs.mix.subarray(of.rows * width, (of.rows + count) * width),
    ]);
    const shape = [width, rows.length / width];
    const mix = graph.input('mix', GgmlType.F32, shape, Float32Array.from(rows));
    const { weights } = (parts[0] as (typeof parts)[0]).of.inputs;
    let start = 0;
    const slices = parts.map(({ of, count }) => {
      of.memory.begin();
      const slice = { ...of.memory.layer(0), start, count };
      start += count;
      return slice;
    });
    const conv = graph.input('conv', GgmlType.F32, [kernel, channels], weights);
    const made = graph.output(shortConvolution(kernels, graph, mix, conv, slices));
    await graph.compute();
    return parts.map(({ of, count, kept = count }, at) => {
      of.memory.commit(count, kept);
      of.rows += kept;
      const first = slices[at]?.start ?? 0;
      return graph.read(made, first * channels, kept * channels);
    });
  }

  for (const sizes of cases) {
    it(`over ${sizes.kernel} rows of ${sizes.channels} channels`, async () => {
      const inputs = inputsOf(sizes, 1);
      const expected = reference(sizes, inputs);
      const whole = open(sizes, inputs, 0);
      const [all = new Float32Array()] = await pass(sizes, [{ of: whole, count: length }], 0);
      whole.memory.dispose();
      for (const [at, value] of expected.entries()) {
        assert.ok(Math.abs(value - (all[at] as number)) < 1e-5 * (1 + Math.abs(value)), `${at}`);
      }
      const neighbour = inputsOf(sizes, 2);
      for (const [turn, counts] of [
        [1],
        [2, 5],
        [loggedRows, 1],
        [loggedRows + 1, 3],
        [40],
      ].entries()) {
        const threads = (turn % 2) as 0 | 1;
        const own = open(sizes, inputs, threads);
        const other = open(sizes, { ...neighbour, weights: inputs.weights }, threads);
        const found: number[] = [];
        for (let at = 0; own.rows < length; at++) {
          const count = Math.min(counts[at % counts.length] as number, length - own.rows);
          // Of short passes some rows are undone, as wrong guesses are.
          const kept = count <= loggedRows && at % 3 === 1 ? Math.ceil(count / 2) : count;
          const beside = { of: other, count: 1 };
          const parts = other.rows < length ? [beside] : [];
          const results = await pass(sizes, [...parts, { of: own, count, kept }], threads);
          found.push(...(results.at(-1) as Float32Array));
          if (at % 7 === 3 && own.rows > 1 && own.memory.reachable(own.rows - 1) === own.rows - 1) {
            own.memory.truncate(own.rows - 1);
            own.rows--;
            found.length -= sizes.channels;
          }
        }
        own.memory.dispose();
        other.memory.dispose();
        assert.deepEqual(Float32Array.from(found), all, `passes of ${counts}`);
      }
    });
  }

  it('refuses states of other sizes', () => {
    const graph = (workspaces[0] as Workspace).begin();
    const memory = new RecurrentMemory({
      backend: backends[0] as Backend,
      layers: [shortConvolutionShape({ channels: 8, kernel: 3 })],
    });
    const mix = graph.input('mix', GgmlType.F32, [3 * 9, 1], new Float32Array(27));
    const conv = graph.input('conv', GgmlType.F32, [3, 9], new Float32Array(27));
    const slice = { ...memory.layer(0), start: 0, count: 1 };
    assert.throws(() => shortConvolution(kernels, graph, mix, conv, [slice]), { code: 'graph' });
    memory.dispose();
  });
});
