/**
 * The gated delta rule through graphs: right within rounding against double precision, and the same
 * bytes however a text was split into passes, what was undone on the way, by how many threads, beside
 * which neighbour, on every CPU path that has the same arithmetic.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Allocation } from '../../../src/ggml/allocation.js';
import { Backend } from '../../../src/ggml/backend.js';
import { deltaNet } from '../../../src/ggml/native/delta-net.js';
import {
  type DeltaNetSizes,
  deltaNetChannels,
  deltaNetShape,
  loggedRows,
  stateElements,
} from '../../../src/ggml/recurrent-shape.js';
import type { Tensor } from '../../../src/ggml/tensor.js';
import { GgmlType } from '../../../src/ggml/types.js';
import { Workspace } from '../../../src/ggml/workspace.js';
import { randomNormal } from '../../../src/synthetic/random-model.js';
import { forcePath, requireKernels } from './support.js';

const epsilon = 1e-6;
const length = 75;
const cases: readonly DeltaNetSizes[] = [
  { keyHeads: 2, valueHeads: 4, headLength: 64, kernel: 4 },
  { keyHeads: 1, valueHeads: 3, headLength: 21, kernel: 2 },
  { keyHeads: 3, valueHeads: 3, headLength: 80, kernel: 1 },
  { keyHeads: 1, valueHeads: 1, headLength: 256, kernel: 8 },
];

/** Inputs of a text, row after row, and what all rows share. */
interface Inputs {
  readonly mix: Float32Array;
  readonly beta: Float32Array;
  readonly alpha: Float32Array;
  readonly convolution: Float32Array;
  readonly bias: Float32Array;
  readonly decay: Float32Array;
}

function inputsOf(sizes: DeltaNetSizes, seed: number): Inputs {
  const random = randomNormal(seed);
  const { valueHeads, kernel } = sizes;
  const channels = deltaNetChannels(sizes);
  const make = (count: number, value: () => number = random) =>
    Float32Array.from({ length: count }, value);
  return {
    convolution: make(kernel * channels),
    bias: make(valueHeads),
    decay: make(valueHeads, () => -Math.exp(random() - 2)),
    mix: make(length * channels),
    beta: make(length * valueHeads),
    alpha: make(length * valueHeads),
  };
}

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));

/** The rule as the paper has it, in double precision: [head * valueHeads] of every row. */
function reference(sizes: DeltaNetSizes, inputs: Inputs): Float64Array {
  const { keyHeads, valueHeads, headLength: n, kernel } = sizes;
  const channels = deltaNetChannels(sizes);
  const out = new Float64Array(length * valueHeads * n);
  for (let head = 0; head < valueHeads; head++) {
    const key = head % keyHeads;
    const state = new Float64Array(n * n); // [key, value]
    for (let row = 0; row < length; row++) {
      const convolved = (first: number) =>
        Float64Array.from({ length: n }, (_, at) => {
          let sum = 0;
          for (let tap = 0; tap < kernel; tap++) {
            const from = row - (kernel - 1) + tap;
            const x = from < 0 ? 0 : (inputs.mix[from * channels + first + at] as number);
            sum += (inputs.convolution[(first + at) * kernel + tap] as number) * x;
          }
          return sum * sigmoid(sum);
        });
      const unit = (x: Float64Array) => {
        const norm = Math.sqrt(x.reduce((sum, value) => sum + value * value, epsilon));
        return x.map((value) => value / norm);
      };
      const q = unit(convolved(key * n));
      const k = unit(convolved((keyHeads + key) * n));
      const v = convolved((2 * keyHeads + head) * n);
      const at = row * valueHeads + head;
      const rate = sigmoid(inputs.beta[at] as number);
      const time = Math.log1p(
        Math.exp((inputs.alpha[at] as number) + (inputs.bias[head] as number)),
      );
      const keep = Math.exp(time * (inputs.decay[head] as number));
      for (let j = 0; j < n; j++) {
        let known = 0;
        for (let i = 0; i < n; i++) known += keep * (state[i * n + j] as number) * (k[i] as number);
        const change = rate * ((v[j] as number) - known);
        let result = 0;
        for (let i = 0; i < n; i++) {
          const cell = keep * (state[i * n + j] as number) + (k[i] as number) * change;
          state[i * n + j] = cell;
          result += cell * (q[i] as number);
        }
        out[at * n + j] = result / Math.sqrt(n);
      }
    }
  }
  return out;
}

/** A text under way: two states in turn. */
class Sequence {
  readonly #states: Allocation;
  #turn = 0;
  length = 0;
  logged = 0;

  constructor(
    backend: Backend,
    readonly inputs: Inputs,
    sizes: DeltaNetSizes,
  ) {
    const shape = [stateElements(deltaNetShape(sizes))];
    const specs = ['a', 'b'].map((name) => ({ name, type: GgmlType.F32, shape }));
    this.#states = new Allocation(backend, specs);
  }

  get to(): Tensor {
    return this.#states.tensors[1 - this.#turn] as Tensor;
  }

  get from(): Tensor | undefined {
    return this.length === 0 ? undefined : this.#states.tensors[this.#turn];
  }

  commit(count: number, kept: number): void {
    if (kept === 0) return;
    this.#turn = 1 - this.#turn;
    this.length += kept;
    this.logged = count > loggedRows ? 0 : kept;
  }

  dispose(): void {
    this.#states.dispose();
  }
}

describe('native delta net', () => {
  const kernels = requireKernels();
  const backends: Backend[] = [];
  const workspaces: Workspace[] = [];
  before(() => {
    for (const threads of [1, 3]) backends.push(new Backend({ threads }));
    for (const backend of backends) workspaces.push(new Workspace(backend));
  });
  after(() => {
    forcePath(kernels, kernels.path);
    for (const workspace of workspaces) workspace.dispose();
    for (const backend of backends) backend.dispose();
  });

  /** The next `count` rows of some sequences in one pass: the results of each. */
  async function pass(
    sizes: DeltaNetSizes,
    parts: readonly { readonly sequence: Sequence; readonly count: number }[],
    threads: 0 | 1,
  ): Promise<Float32Array[]> {
    const graph = (workspaces[threads] as Workspace).begin();
    const joined = (name: 'mix' | 'beta' | 'alpha', width: number) => {
      const rows = parts.map(({ sequence: { inputs, length }, count }) =>
        inputs[name].subarray(length * width, (length + count) * width),
      );
      const data = Float32Array.from(rows.flatMap((part) => [...part]));
      return graph.input(name, GgmlType.F32, [width, data.length / width], data);
    };
    const channels = deltaNetChannels(sizes);
    const { convolution, bias, decay } = (parts[0] as (typeof parts)[0]).sequence.inputs;
    let start = 0;
    const slices = parts.map(({ sequence, count }) => {
      const slice = { from: sequence.from, to: sequence.to, logged: sequence.logged, start, count };
      start += count;
      return slice;
    });
    const made = deltaNet(
      kernels,
      graph,
      {
        mix: joined('mix', channels),
        beta: joined('beta', sizes.valueHeads),
        alpha: joined('alpha', sizes.valueHeads),
        convolution: graph.input('conv', GgmlType.F32, [sizes.kernel, channels], convolution),
        bias: graph.input('bias', GgmlType.F32, [sizes.valueHeads], bias),
        decay: graph.input('decay', GgmlType.F32, [sizes.valueHeads], decay),
      },
      slices,
      { ...sizes, epsilon },
    );
    graph.output(made);
    await graph.compute();
    const [width] = made.shape;
    return slices.map((slice) => graph.read(made, slice.start * width, slice.count * width));
  }

  /** The whole text in passes; `drop`: how many rows of a pass are computed and undone first. */
  async function run(
    sizes: DeltaNetSizes,
    inputs: Inputs,
    passes: readonly number[],
    { threads = 0, drop = 0 }: { threads?: 0 | 1; drop?: number } = {},
  ): Promise<Float32Array> {
    const sequence = new Sequence(backends[threads] as Backend, inputs, sizes);
    const rows: number[] = [];
    for (let turn = 0; sequence.length < length; turn++) {
      const left = length - sequence.length;
      const count = Math.min(left, passes[turn % passes.length] as number);
      // Rows that are undone are computed again by the passes that follow.
      const kept = count > loggedRows || left === count ? count : Math.max(1, count - drop);
      const found = (await pass(sizes, [{ sequence, count }], threads))[0] as Float32Array;
      const width = found.length / count;
      for (const value of found.subarray(0, kept * width)) rows.push(value);
      sequence.commit(count, kept);
      // A pass that fails leaves everything as it was.
      if (turn === 1 && sequence.length + 20 <= length) {
        await pass(sizes, [{ sequence, count: 20 }], threads);
        sequence.commit(20, 0);
      }
    }
    sequence.dispose();
    return Float32Array.from(rows);
  }

  for (const [at, sizes] of cases.entries()) {
    const title = `${sizes.valueHeads} heads of ${sizes.headLength}, kernel ${sizes.kernel}`;
    it(`${title}: right, and the same bytes for every course`, async () => {
      const inputs = inputsOf(sizes, at + 1);
      const exact = reference(sizes, inputs);
      const most = exact.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0);
      for (const path of kernels.paths) {
        forcePath(kernels, path);
        const whole = await run(sizes, inputs, [length]);
        const worst = exact.reduce(
          (far, value, index) => Math.max(far, Math.abs(value - (whole[index] ?? Number.NaN))),
          0,
        );
        assert.ok(worst < 2e-6 * most, `${path}: ${worst} of ${most}`);
        for (const [passes, options] of [
          [[1], {}],
          [[16], { drop: 5 }],
          [[17, 2, 5], { drop: 3 }],
          [[40, 1], { threads: 1 }],
          [[3], { threads: 1, drop: 2 }],
        ] as const) {
          const found = await run(sizes, inputs, passes, options);
          assert.deepEqual(found, whole, `${path}, passes of ${passes}`);
        }
      }
    });
  }

  it('computes sequences of one pass as if they were alone', async () => {
    forcePath(kernels, kernels.path);
    const [sizes] = cases as readonly [DeltaNetSizes];
    const inputs = inputsOf(sizes, 1);
    const other = { ...inputsOf(sizes, 9), ...{ convolution: inputs.convolution } };
    const shared = { ...other, bias: inputs.bias, decay: inputs.decay };
    const texts = [inputs, shared, inputs];
    const sequences = texts.map((text) => new Sequence(backends[1] as Backend, text, sizes));
    const counts = [20, 3, 7];
    const parts = sequences.map((sequence, at) => ({ sequence, count: counts[at] as number }));
    const found = await pass(sizes, parts, 1);
    for (const [at, text] of texts.entries()) {
      const alone = await run(sizes, text, [length]);
      const rows = found[at] as Float32Array;
      assert.deepEqual(rows, alone.subarray(0, rows.length));
    }
    for (const sequence of sequences) sequence.dispose();
  });

  it('refuses what does not fit', async () => {
    const [sizes] = cases as readonly [DeltaNetSizes];
    const sequence = new Sequence(backends[0] as Backend, inputsOf(sizes, 1), sizes);
    sequence.logged = loggedRows + 1;
    await assert.rejects(pass(sizes, [{ sequence, count: 1 }], 0), { code: 'graph' });
    sequence.logged = 0;
    const wide = { ...sizes, headLength: 2 * sizes.headLength };
    await assert.rejects(pass(wide, [{ sequence, count: 1 }], 0), { code: 'graph' });
    sequence.dispose();
  });
});
