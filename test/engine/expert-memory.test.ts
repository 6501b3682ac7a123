/**
 * Experts that stay in their file: logits are the same bytes for every size of the cache, from one that
 * holds all experts down to the least, for every kind of mixture, cut into passes large and small.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { LayeredState } from '../../src/cache/layered-state.js';
import { Backend } from '../../src/ggml/backend.js';
import { GgmlType } from '../../src/ggml/types.js';
import { Workspace } from '../../src/ggml/workspace.js';
import { readGguf } from '../../src/gguf/reader.js';
import { writeGguf } from '../../src/gguf/writer.js';
import { type LoadModelOptions, loadLanguageModel } from '../../src/models/load.js';
import { type RandomModelOptions, randomModel } from '../../src/synthetic/random-model.js';
import { temporaryFile } from '../support/tiny-model.js';

const shape = {
  ...{ layers: 2, embedding: 256, heads: 4, kvHeads: 2, headDim: 64, inner: 256 },
  ...{ experts: [12, 3] as const, vocab: 331, context: 512, type: GgmlType.Q4_K },
} as const satisfies Partial<RandomModelOptions>;

const mixtures: Readonly<Record<string, RandomModelOptions>> = {
  olmoe: { architecture: 'olmoe', kvHeads: 4, tied: false },
  qwen3moe: { architecture: 'qwen3moe', type: GgmlType.Q6_K },
  'gpt-oss, with biases': { architecture: 'gpt-oss', window: [16, 2], type: GgmlType.MXFP4 },
  'gemma4, gate and up in one tensor': {
    ...{ architecture: 'gemma4', window: [33, 2], type: GgmlType.Q4_0 },
    gemma4: { perLayer: 0, rawValues: true, fullKvHeads: 1, expertInner: 96, together: true },
  },
  'deepseek2, with a shared expert': {
    ...{ architecture: 'deepseek2', latent: { kv: 64, query: 96, rotated: 32 } },
    ...{ sharedExperts: 1, type: GgmlType.F16 },
  },
  'deepseek4, clamped and by token': { architecture: 'deepseek4', kvHeads: 1 },
  glm4moe: { architecture: 'glm4moe', type: GgmlType.Q2_K },
  'lfm2moe, types of layers that differ': {
    ...{ architecture: 'lfm2moe', layers: 4, tied: false, type: GgmlType.Q8_0 },
    change: (tensor) =>
      /^blk\.[13]\.ffn_down_exps/.test(tensor.name) ? { ...tensor, type: GgmlType.Q6_K } : tensor,
  },
};

/** Rows of each pass: more than fit at once, then as in decoding with and without drafts. */
const passes = [40, 1, 1, 5, 1, 1, 9, 1];

async function logits(path: string, options: Partial<LoadModelOptions>) {
  await using file = await readGguf(path);
  const backend = new Backend({ threads: 2 });
  try {
    const model = await loadLanguageModel(file, { backend, contextLength: 128, ...options });
    try {
      using state = new LayeredState({
        ...{ backend, layers: model.layerStates(), capacity: 128, type: GgmlType.F16 },
        identity: 'test',
      });
      using workspace = new Workspace(backend);
      const rows: Float32Array[] = [];
      for (const count of passes) {
        const graph = workspace.begin();
        const past = state.length;
        const at = Array.from({ length: count }, (_, index) => past + index);
        state.begin(count);
        const { logits: made } = model.forward(graph, {
          tokens: graph.indices(
            'tokens',
            at.map((position) => 5 + ((position * 37) % 300)),
          ),
          positions: graph.indices('positions', at),
          sequences: [{ state, start: 0, count, past }],
          outputs: undefined,
        });
        assert.ok(made);
        graph.output(made);
        await graph.compute();
        state.commit(count);
        rows.push(graph.read(made));
      }
      return { rows, plan: model.plan, statistics: model.experts?.statistics };
    } finally {
      model.dispose();
    }
  } finally {
    backend.dispose();
  }
}

for (const [name, options] of Object.entries(mixtures)) {
  describe(`experts in the file: ${name}`, () => {
    const path = temporaryFile(`experts-${name.split(/\W/, 1)}.gguf`);
    it('gives the same logits for every size of the cache', async () => {
      await writeGguf(path, randomModel({ ...shape, ...options }));
      const expected = await logits(path, {});
      assert.equal(expected.plan.experts, undefined);
      const all = await logits(path, { expertMemory: 1e9 });
      const { whole = 0, count = 0 } = all.plan.experts ?? {};
      assert.equal(all.plan.experts?.held, count);
      assert.ok(all.statistics && all.statistics.read <= count, 'each expert is read once');
      let read = 0;
      for (const share of [1, 0.6, 0.35]) {
        const { rows, plan, statistics } = await logits(path, {
          expertMemory: Math.floor(whole * share),
        });
        assert.deepEqual(rows, expected.rows, `${share}`);
        assert.ok(plan.experts && plan.experts.memory <= whole * share);
        assert.ok(statistics && statistics.held <= plan.experts.held);
        assert.ok(statistics.read >= read, 'a smaller cache reads more');
        read = statistics.read;
      }
      // What is read before it is asked for changes nothing.
      const some = Math.floor(whole * 0.5);
      const never = await logits(path, { expertMemory: some, forecast: 'never' });
      assert.equal(never.statistics?.early, 0);
      const always = await logits(path, { expertMemory: some, forecast: 'always' });
      assert.deepEqual(always.rows, expected.rows);
      const { early = 0, earlyUsed = 0 } = always.statistics ?? {};
      // Which experts a token chooses is known only when its layer comes.
      const foreseen = count > shape.experts[0] && !name.includes('by token');
      if (foreseen) assert.ok(early > 0 && earlyUsed <= early, `${early}`);
      const least = await leastOf(path);
      const { rows, statistics } = await logits(path, { expertMemory: least });
      assert.deepEqual(rows, expected.rows);
      assert.ok(statistics && statistics.oversized > 0, 'the first pass does not fit');
      await assert.rejects(logits(path, { expertMemory: least - 1 }), { code: 'memory' });
    });
  });
}

/** The least memory, which the refusal of a smaller one names. */
async function leastOf(path: string): Promise<number> {
  const error = await logits(path, { expertMemory: 1 }).catch((reason: unknown) => reason);
  const { details } = error as { details: { least: number } };
  return details.least;
}
