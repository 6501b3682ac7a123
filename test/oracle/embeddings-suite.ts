/**
 * Encoders, and decoders that make vectors or rank, against libllama: the pooled vector of texts of one
 * token, of a few, and longer than every window. The measure is the largest difference of an element,
 * relative to the range of the vector's.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { loadModel } from '../../src/engine/load.js';
import type { Model } from '../../src/engine/model.js';
import { GgmlType, isQuantized, typeName } from '../../src/ggml/types.js';
import { u32 } from '../../src/synthetic/entries.js';
import type { RandomModelOptions } from '../../src/synthetic/random-model.js';
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
const texts = [1, 2, 7, 40, 150].map((length, which) =>
  Array.from({ length }, (_, at) => tokenAt(at + 50 * which)),
);

/** The worst difference over all texts. `theirs`: as many floats as a vector or a score has. */
async function worst(
  path: string,
  ours: (model: Model) => Promise<readonly Float32Array[]>,
  width: number,
): Promise<number> {
  await using model = await loadModel(path, { threads: 1, contextLength: 256, kvType: 'f32' });
  const found = await ours(model);
  const expected = texts.map((tokens) => {
    using oracle = new Oracle(path, { embeddings: true, cacheType: GgmlType.F32 });
    return oracle.embed(tokens, width);
  });
  return Math.max(...differences(found, expected));
}

/** The vectors with their length back, which `embed` makes 1. */
async function vectors(model: Model, expected: readonly number[]): Promise<Float32Array[]> {
  const { vectors } = await model.embed(texts);
  return vectors.map((vector, at) => vector.map((value) => value * (expected[at] as number)));
}

/** Declares the tests in these types. */
export function describeEmbeddings(types: readonly GgmlType[]): void {
  for (const [name, { ranks, ...sizes }] of Object.entries(shapes)) {
    describe(name, () => {
      for (const type of types) {
        for (const [pooling, value] of Object.entries(poolings)) {
          it(`gives the vectors of libllama in ${typeName(type)}, pooled by ${pooling}`, async (t) => {
            const options = { seed: type + 3, ...sizes, type };
            const metadata = { ...sizes.metadata, pooling_type: u32(value) };
            await withRandomModel({ ...options, metadata }, async (path) => {
              await using model = await loadModel(path, {
                threads: 1,
                contextLength: 256,
                kvType: 'f32',
              });
              assert.equal(model.info.pooling, pooling);
              const width = model.info.embeddingLength;
              const expected = texts.map((tokens) => {
                using oracle = new Oracle(path, { embeddings: true, cacheType: GgmlType.F32 });
                return oracle.embed(tokens, width);
              });
              const found = await vectors(
                model,
                expected.map((vector) => Math.hypot(...vector)),
              );
              const worst = Math.max(...differences(found, expected));
              t.diagnostic(`worst difference ${worst.toExponential(1)} of the range`);
              const limit = isQuantized(type) ? 2e-2 : 1e-3;
              assert.ok(worst < limit, `${worst} of the range, allowed are ${limit}`);
            });
          });
        }
      }
    });
  }
}
