/**
 * One suite over all architectures: what a token's logits are does not depend on how the work was
 * cut up, on the sequences beside it, or on which outputs were asked for.
 */
import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { LayeredState } from '../../src/cache/layered-state.js';
import { Backend } from '../../src/ggml/backend.js';
import type { Tensor } from '../../src/ggml/tensor.js';
import { GgmlType } from '../../src/ggml/types.js';
import { Workspace } from '../../src/ggml/workspace.js';
import { readGgufFrom } from '../../src/gguf/reader.js';
import { memorySource } from '../../src/gguf/source.js';
import { encodeGguf } from '../../src/gguf/writer.js';
import { loadLanguageModel } from '../../src/models/load.js';
import type { LanguageModel } from '../../src/models/model.js';
import { textArchitectures } from '../../src/models/registry.js';
import { randomModel } from '../../src/synthetic/random-model.js';
import { worstDifference } from '../oracle/runner.js';

const backend = new Backend({ threads: 1 });
after(() => backend.dispose());

/** ggml's products may differ in the last bits between batch sizes. */
const rounding = 1e-5;
const tokens = Array.from({ length: 24 }, (_, at) => (at * 53 + 7) % 320);

async function open(architecture: string): Promise<LanguageModel> {
  const sizes = { layers: 3, embedding: 64, heads: 4, headDim: 16, inner: 96 };
  const bytes = await encodeGguf(randomModel({ architecture, ...sizes, window: [5, 2] }));
  const file = await readGgufFrom('random.gguf', async () => memorySource(bytes));
  return loadLanguageModel(file, { backend });
}

interface Rows {
  readonly state: LayeredState;
  readonly tokens: readonly number[];
}

interface Subject {
  readonly model: LanguageModel;
  readonly workspace: Workspace;
}

/** A pass over rows of several sequences; logits and hidden states of the wanted rows, a list a row. */
async function pass(
  { model, workspace }: Subject,
  parts: readonly Rows[],
  wanted?: readonly number[],
  taps?: readonly number[],
) {
  const graph = workspace.begin();
  let start = 0;
  const sequences = parts.map((part) => {
    const { state } = part;
    const slice = { state, start, count: part.tokens.length, past: state.length };
    start += part.tokens.length;
    return slice;
  });
  const positions = sequences.flatMap(({ past, count }) =>
    Array.from({ length: count }, (_, at) => past + at),
  );
  const {
    logits,
    hidden,
    taps: tapped,
  } = model.forward(graph, {
    tokens: graph.indices(
      'tokens',
      parts.flatMap((part) => part.tokens),
    ),
    positions: graph.indices('positions', positions),
    sequences,
    outputs: wanted === undefined ? undefined : graph.indices('outputs', wanted),
    ...(taps === undefined ? {} : { taps }),
  });
  assert.ok(logits);
  for (const tensor of [logits, hidden, ...tapped]) graph.output(tensor);
  await graph.compute();
  for (const {
    state,
    tokens: { length },
  } of parts) {
    state.begin(length);
    state.commit(length);
  }
  const rowsOf = (tensor: Tensor) => {
    const all = graph.read(tensor);
    const width = tensor.shape[0];
    return Array.from({ length: tensor.shape[1] }, (_, at) =>
      all.slice(at * width, (at + 1) * width),
    );
  };
  return {
    logits: rowsOf(logits),
    hidden: rowsOf(hidden),
    taps: tapped.map(rowsOf),
  };
}

for (const architecture of textArchitectures) {
  describe(architecture, async () => {
    const model = await open(architecture);
    const workspace = new Workspace(backend);
    const subject = { model, workspace };
    const states: LayeredState[] = [];
    const fresh = (capacity = 32) => {
      const layers = model.layerStates();
      const type = GgmlType.F32;
      const state = new LayeredState({ backend, layers, capacity, type, identity: '' });
      states.push(state);
      return state;
    };
    after(() => {
      for (const state of states) state.dispose();
      workspace.dispose();
      model.dispose();
    });
    const whole = await pass(subject, [{ state: fresh(), tokens }]);

    it('gives the same logits in chunks', async () => {
      const state = fresh();
      for (const [from, to] of [
        [0, 1],
        [1, 9],
        [9, 24],
      ] as const) {
        const { logits } = await pass(subject, [{ state, tokens: tokens.slice(from, to) }]);
        assert.ok(worstDifference(logits, whole.logits.slice(from, to)) < rounding);
      }
    });

    it('gives the same logits beside other sequences', async () => {
      const [a, b, c] = [fresh(), fresh(), fresh()];
      await pass(subject, [{ state: a, tokens: tokens.slice(0, 10) }]);
      const other = tokens.toReversed();
      const { logits } = await pass(subject, [
        { state: b, tokens: other.slice(0, 5) },
        { state: a, tokens: tokens.slice(10, 14) },
        { state: c, tokens: tokens.slice(0, 3) },
      ]);
      assert.ok(worstDifference(logits.slice(5, 9), whole.logits.slice(10, 14)) < rounding);
      assert.ok(worstDifference(logits.slice(9), whole.logits.slice(0, 3)) < rounding);
    });

    it('gives the same logits after forgetting a part', async () => {
      const state = fresh();
      await pass(subject, [{ state, tokens: tokens.slice(0, 12) }]);
      await pass(subject, [{ state, tokens: [300, 301, 302] }]);
      state.truncate(12);
      const { logits } = await pass(subject, [{ state, tokens: tokens.slice(12) }]);
      assert.ok(worstDifference(logits, whole.logits.slice(12)) < rounding);
    });

    it('gives the rows that were asked for, in that order', async () => {
      const wanted = [23, 4];
      const { logits, hidden } = await pass(subject, [{ state: fresh(), tokens }], wanted);
      const expected = wanted.map((row) => whole.logits[row] as Float32Array);
      assert.ok(worstDifference(logits, expected) < rounding);
      assert.equal(hidden.length, 2);
    });

    it('gives the residual stream after layers', async () => {
      const asked = [2, 0];
      const tapped = await pass(subject, [{ state: fresh(), tokens }], [23], asked);
      assert.deepEqual(
        tapped.taps.map((rows) => rows.length),
        [24, 24],
      );
      const last = [whole.logits[23] as Float32Array];
      assert.ok(worstDifference(tapped.logits, last) < rounding);
      assert.notDeepEqual(tapped.taps[0], tapped.taps[1]);
    });

    it('refuses more tokens than the cache holds', async () => {
      const state = fresh(8);
      await assert.rejects(pass(subject, [{ state, tokens }]), { code: 'context-overflow' });
    });
  });
}
