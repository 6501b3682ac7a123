/**
 * Encoders, and decoders that make vectors or rank, against libllama: the pooled vector of texts of one
 * token, of a few, and longer than every window. The measure is the largest difference of an element,
 * relative to the range of the vector's.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { loadModel } from '../../src/engine/load.js';
import { pairTokens } from '../../src/engine/rank.js';
import { GgmlType, isQuantized, typeName } from '../../src/ggml/types.js';
import { u32 } from '../../src/synthetic/entries.js';
import {
  type RandomModelOptions,
  type RandomTensor,
  randomModel,
} from '../../src/synthetic/random-model.js';
import { Oracle } from './libllama.js';
import { differences, withRandomModel } from './runner.js';

/** Values of `pooling_type`. */
const poolings = { mean: 1, cls: 2, last: 3 } as const;

type Sizes = Omit<RandomModelOptions, 'type'>;

/** Sizes whose rows are as long as any type needs; `rank`: as a model that ranks too. */
const shapes: Readonly<Record<string, Sizes & { readonly ranks?: boolean }>> = {
  bert: { architecture: 'bert', heads: 4, inner: 512, ranks: true },
  'bert with fused q, k and v': { architecture: 'bert', heads: 8, inner: 256, fused: true },
  'nomic-bert': { architecture: 'nomic-bert', heads: 4, inner: 256, fused: true },
  'nomic-bert-moe': {
    ...{ architecture: 'nomic-bert-moe', heads: 4, inner: 256, experts: [5, 2] },
    layers: 4,
  },
  'jina-bert-v2': {
    ...{ architecture: 'jina-bert-v2', heads: 6, embedding: 768, inner: 512, layers: 2 },
    bert: { gateWithUp: true },
  },
  'jina-bert-v2 with all norms and a gate of its own': {
    ...{ architecture: 'jina-bert-v2', heads: 4, inner: 512 },
    bert: { moreNorms: true, gateWithUp: false },
  },
  'jina-bert-v2 without a gate': { architecture: 'jina-bert-v2', heads: 4, inner: 512 },
  'gemma-embedding': { architecture: 'gemma-embedding', window: [17, 2], layers: 4 },
  'gemma-embedding with projections': {
    ...{ architecture: 'gemma-embedding', window: [32, 3], layers: 3, headDim: 128 },
    projected: 512,
  },
  qwen3: { architecture: 'qwen3', ranks: true },
};

const tokenAt = (at: number) => (at * 97 + (at >> 3) * 31 + 11) % 320;
const texts = [1, 2, 40, 150].map((length, which) =>
  Array.from({ length }, (_, at) => tokenAt(at + 50 * which)),
);
const loading = { threads: 1, contextLength: 256, kvType: 'f32' } as const;

/** What libllama has for a text: its vector, or its score as the first of `width` numbers. */
function oracle(path: string, tokens: readonly number[], width: number): Float32Array {
  using theirs = new Oracle(path, { embeddings: true, cacheType: GgmlType.F32 });
  return theirs.embed(tokens, width);
}

/** Vectors of length 1, as `embed` gives them. */
function unit(vector: Float32Array): Float32Array {
  const length = Math.hypot(...vector);
  return vector.map((value) => value / length);
}

function limitOf(type: GgmlType): number {
  return isQuantized(type) ? 2e-2 : 1e-3;
}

export interface EmbeddingTests {
  readonly types: readonly GgmlType[];
  /** `each`: every pooling in every form; `usual`: the mean, and the others where it differs. */
  readonly poolings: 'each' | 'usual';
}

/** Declares the tests. */
export function describeEmbeddings({ types, poolings: which }: EmbeddingTests): void {
  for (const [name, { ranks, ...sizes }] of Object.entries(shapes)) {
    describe(name, () => {
      for (const type of types) {
        const options = { seed: type + 3, ...sizes, type };
        for (const [pooling, value] of Object.entries(poolings)) {
          if (which === 'usual' && pooling !== 'mean' && !ranks) continue;
          it(`gives the vectors of libllama in ${typeName(type)}, pooled by ${pooling}`, async (t) => {
            const metadata = { ...sizes.metadata, pooling_type: u32(value) };
            await withRandomModel({ ...options, metadata }, async (path) => {
              await using model = await loadModel(path, loading);
              assert.equal(model.info.pooling, pooling);
              const { vectors } = await model.embed(texts);
              const width = model.info.embeddingLength;
              const expected = texts.map((tokens) => unit(oracle(path, tokens, width)));
              const worst = Math.max(...differences(vectors, expected));
              t.diagnostic(`worst difference ${worst.toExponential(1)} of the range`);
              assert.ok(worst < limitOf(type), `${worst} of the range`);
            });
          });
        }
        if (ranks) describeRanks(options);
      }
    });
  }
}

/** One class, or two behind a projection: the scores of pairs of texts. */
function describeRanks(options: RandomModelOptions & { readonly type: GgmlType }): void {
  // libllama has no second projection in Qwen3.
  const heads =
    options.architecture === 'bert' ? [{ count: 1 }, { count: 3, dense: true }] : [{ count: 2 }];
  for (const classes of heads) {
    it(`ranks as libllama with ${classes.count} classes in ${typeName(options.type)}`, async (t) => {
      await withRandomModel({ ...options, classes }, async (path) => {
        await using model = await loadModel(path, loading);
        assert.equal(model.info.purpose, 'ranking');
        const documents = ['a', 'b c d', 'the rivers of europe', 'x '.repeat(50), ''];
        const { results, tokens } = await model.rank('what is it', documents);
        const { tokenizer, rankTemplate } = model.runtime;
        const pairs = documents.map((text) =>
          pairTokens(tokenizer, rankTemplate, 'what is it', text),
        );
        assert.equal(
          tokens,
          pairs.reduce((sum, { length }) => sum + length, 0),
        );
        const expected = pairs.map((pair) => oracle(path, pair, classes.count)[0] as number);
        // A score is one sum of products whose usual size is 1.
        const range = Math.max(1, ...expected.map(Math.abs));
        const worst = Math.max(
          ...results.map(
            ({ index, score }) => Math.abs(score - (expected[index] as number)) / range,
          ),
        );
        if (!isQuantized(options.type)) {
          const order = documents.map((_, at) => at);
          order.sort((a, b) => (expected[b] as number) - (expected[a] as number));
          assert.deepEqual(
            results.map(({ index }) => index),
            order,
          );
        }
        t.diagnostic(`worst difference ${worst.toExponential(1)} of the largest`);
        assert.ok(worst < (isQuantized(options.type) ? 5e-2 : 2e-3), `${worst} of the largest`);
      });
    });
  }
}

/** Declares that a change of any tensor moves the vectors: nothing is left out of the comparison. */
export function describeVectorPerturbations(): void {
  describe('a tensor that differs a little moves the vectors', () => {
    for (const [name, { ranks: _, ...sizes }] of Object.entries(shapes)) {
      it(name, async () => {
        const vectorWith = (changed: string | undefined) => {
          // Biases of queries' norms add little to what they are added to.
          const by = changed?.endsWith('.bias') ? 0.5 : 0.1;
          const change = (tensor: RandomTensor) =>
            tensor.name === changed
              ? { ...tensor, values: tensor.values.map((v, at) => v * (at % 2 ? 1 + by : 1 - by)) }
              : tensor;
          return withRandomModel({ seed: 3, ...sizes, change }, async (path) => {
            await using model = await loadModel(path, loading);
            return (await model.embed(texts.slice(2, 3), { pooling: 'mean' })).vectors;
          });
        };
        const expected = await vectorWith(undefined);
        const names: string[] = [];
        randomModel({ ...sizes, change: (tensor) => void names.push(tensor.name) });
        for (const tensor of names.filter((tensor) => !/^blk\.[^1]/.test(tensor))) {
          if (tensor === 'output.weight') continue; // computes logits, which nobody asks for
          // They add the same to all scores of a row.
          if (/attn_k(_norm)?\.bias$/.test(tensor)) continue;
          const moved = Math.max(...differences(await vectorWith(tensor), expected));
          assert.ok(
            moved > 3e-4,
            `A change of ${tensor} moved the vector by ${moved} of the range only`,
          );
        }
      });
    }
  });
}
