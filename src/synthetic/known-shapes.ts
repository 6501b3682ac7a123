/**
 * Shapes of well-known models of every architecture. Those of more than some hundred megabytes have
 * fewer layers than the model: what a layer costs is the real price, the head has a larger share.
 */
import type { ModelShape } from './plan.js';

/** A shape by its name. */
export interface Shape extends ModelShape {
  readonly name: string;
  /** Layers of the model whose shape it is, where these are fewer. */
  readonly wholeLayers?: number;
}

const qwen3 = {
  architecture: 'qwen3',
  ...{ kvHeads: 8, headDim: 128, vocab: 151936, context: 40960, ropeBase: 1e6, epsilon: 1e-6 },
  tied: true,
} as const;

/** What shapes have in common unless they say otherwise. */
const usual = { context: 8192, ropeBase: 1e4, epsilon: 1e-5, tied: true } as const;

export const knownShapes: readonly Shape[] = [
  { ...qwen3, name: 'qwen3-0.6b', layers: 28, embedding: 1024, inner: 3072, heads: 16 },
  { ...qwen3, name: 'qwen3-1.7b', layers: 28, embedding: 2048, inner: 6144, heads: 16 },
  { ...qwen3, name: 'qwen3-4b', layers: 36, embedding: 2560, inner: 9728, heads: 32 },
  {
    ...{ ...qwen3, name: 'qwen3-30b-a3b', architecture: 'qwen3moe', layers: 2, wholeLayers: 48 },
    ...{ embedding: 2048, inner: 768, heads: 32, kvHeads: 4, experts: [128, 8], tied: false },
  },
  {
    ...{ ...usual, name: 'olmoe-1b-7b', architecture: 'olmoe', layers: 16, embedding: 2048 },
    ...{ inner: 1024, heads: 16, kvHeads: 16, headDim: 128, vocab: 50304, context: 4096 },
    ...{ experts: [64, 8], tied: false },
  },
  {
    ...{ ...usual, name: 'emo-1b-14b', architecture: 'deepseek', layers: 1, wholeLayers: 16 },
    ...{ embedding: 2048, inner: 1024, heads: 16, kvHeads: 16, headDim: 128, vocab: 100352 },
    ...{ context: 4096, ropeBase: 5e5, epsilon: 1e-6, tied: false },
    ...{ experts: [127, 7], leadingDense: 0 },
  },
  {
    ...{ ...usual, name: 'gemma4-e2b', architecture: 'gemma4', layers: 10, wholeLayers: 35 },
    ...{ embedding: 1536, inner: 6144, heads: 8, kvHeads: 1, headDim: 512, vocab: 262144 },
    ...{ window: [512, 5], gemma4: { windowHeadDim: 256, perLayer: 256, shared: 5 } },
  },
  {
    ...{ ...usual, name: 'gemma4-26b-a4b', architecture: 'gemma4', layers: 2, wholeLayers: 30 },
    ...{ embedding: 2816, inner: 2112, heads: 16, kvHeads: 8, headDim: 512, vocab: 262144 },
    ...{ window: [1024, 2], experts: [128, 8] },
    gemma4: {
      ...{ windowHeadDim: 256, fullKvHeads: 2, perLayer: 0, rawValues: true },
      ...{ expertInner: 704, together: true },
    },
  },
  {
    ...{ ...usual, name: 'qwen35-0.8b', architecture: 'qwen35', layers: 24, embedding: 1024 },
    ...{ inner: 3584, heads: 8, kvHeads: 2, headDim: 256, vocab: 248320 },
    qwen35: {
      ...{ keyHeads: 16, valueHeads: 16, headLength: 128, kernel: 4, interval: 4, rotated: 64 },
    },
  },
  {
    ...{ ...usual, name: 'qwen35-2b', architecture: 'qwen35', layers: 12, wholeLayers: 24 },
    ...{ embedding: 2048, inner: 6144, heads: 8, kvHeads: 2, headDim: 256, vocab: 248320 },
    qwen35: {
      ...{ keyHeads: 16, valueHeads: 16, headLength: 128, kernel: 4, interval: 4, rotated: 64 },
    },
  },
  {
    ...{ ...usual, name: 'qwen35-35b-a3b', architecture: 'qwen35moe', layers: 4, wholeLayers: 40 },
    ...{ embedding: 2048, inner: 512, heads: 16, kvHeads: 2, headDim: 256, vocab: 248320 },
    ...{ experts: [256, 8], tied: false },
    qwen35: {
      ...{ keyHeads: 16, valueHeads: 32, headLength: 128, kernel: 4, interval: 4, rotated: 64 },
      sharedInner: 512,
    },
  },
  {
    ...{ ...usual, name: 'gpt-oss-20b', architecture: 'gpt-oss', layers: 2, wholeLayers: 24 },
    ...{ embedding: 2880, inner: 2880, heads: 64, kvHeads: 8, headDim: 64, vocab: 201088 },
    ...{ window: [128, 2], experts: [32, 4], ropeBase: 150000, tied: false },
  },
  {
    ...{ ...usual, name: 'deepseek2-lite', architecture: 'deepseek2', layers: 3, wholeLayers: 27 },
    ...{ embedding: 2048, inner: 1408, heads: 16, kvHeads: 1, headDim: 128, vocab: 102400 },
    ...{ experts: [64, 6], sharedExperts: 2, latent: { kv: 512, query: 768, rotated: 64 } },
    tied: false,
  },
  {
    ...{ ...usual, name: 'glm4-9b', architecture: 'glm4', layers: 4, wholeLayers: 40 },
    ...{ embedding: 4096, inner: 13696, heads: 32, kvHeads: 2, headDim: 128, vocab: 151552 },
    tied: false,
  },
  {
    ...{ ...usual, name: 'glm4.5-air', architecture: 'glm4moe', layers: 2, wholeLayers: 46 },
    ...{ embedding: 4096, inner: 1408, heads: 96, kvHeads: 8, headDim: 128, vocab: 151552 },
    ...{ experts: [128, 8], tied: false },
  },
  {
    ...{ ...usual, name: 'phi3-mini', architecture: 'phi3', layers: 16, wholeLayers: 32 },
    ...{ embedding: 3072, inner: 8192, heads: 32, kvHeads: 32, headDim: 96, vocab: 32064 },
    ...{ fused: true, tied: false },
  },
  {
    ...{ ...usual, name: 'llama3.2-1b', architecture: 'llama', layers: 16, embedding: 2048 },
    ...{ inner: 8192, heads: 32, kvHeads: 8, headDim: 64, vocab: 128256, ropeBase: 500000 },
    ropeFactors: true,
  },
  {
    ...{ ...usual, name: 'lfm2-1.2b', architecture: 'lfm2', layers: 16, embedding: 2048 },
    ...{ inner: 8192, heads: 32, kvHeads: 8, headDim: 64, vocab: 65536, ropeBase: 1e6 },
    convolutions: { kernel: 3, interval: 3 },
  },
  {
    ...{ ...usual, name: 'lfm2-8b-a1b', architecture: 'lfm2moe', layers: 4, wholeLayers: 24 },
    ...{ embedding: 2048, inner: 1792, heads: 32, kvHeads: 8, headDim: 64, vocab: 65536 },
    ...{ experts: [32, 4], convolutions: { kernel: 3, interval: 3 } },
  },
  {
    ...{ ...usual, name: 'qwen2.5-0.5b', architecture: 'qwen2', layers: 24, embedding: 896 },
    ...{ inner: 4864, heads: 14, kvHeads: 2, headDim: 64, vocab: 151936, ropeBase: 1e6 },
  },
  {
    ...{ ...usual, name: 'gemma2-2b', architecture: 'gemma2', layers: 8, wholeLayers: 26 },
    ...{ embedding: 2304, inner: 9216, heads: 8, kvHeads: 4, headDim: 256, vocab: 256000 },
    window: [4096, 2],
  },
  {
    ...{ ...usual, name: 'gemma3-1b', architecture: 'gemma3', layers: 26, embedding: 1152 },
    ...{ inner: 6912, heads: 4, kvHeads: 1, headDim: 256, vocab: 262144, window: [512, 6] },
  },
  {
    ...{ ...usual, name: 'smollm3-3b', architecture: 'smollm3', layers: 12, wholeLayers: 36 },
    ...{ embedding: 2048, inner: 11008, heads: 16, kvHeads: 4, headDim: 128, vocab: 128256 },
  },
  {
    ...{ ...usual, name: 'ministral3-3b', architecture: 'mistral3', layers: 8, wholeLayers: 26 },
    ...{ embedding: 3072, inner: 9216, heads: 32, kvHeads: 8, headDim: 128, vocab: 131072 },
  },
  {
    ...{ ...usual, name: 'granite4-micro', architecture: 'granite', layers: 12, wholeLayers: 40 },
    ...{ embedding: 2560, inner: 8192, heads: 40, kvHeads: 8, headDim: 64, vocab: 100352 },
  },
  {
    ...{ ...usual, name: 'granite3-3b-a800m', architecture: 'granitemoe', layers: 8 },
    ...{ embedding: 1536, inner: 512, heads: 24, kvHeads: 8, headDim: 64, vocab: 49155 },
    ...{ experts: [40, 8], wholeLayers: 32 },
  },
  {
    ...{ ...usual, name: 'olmo2-1b', architecture: 'olmo2', layers: 16, embedding: 2048 },
    ...{ inner: 8192, heads: 16, kvHeads: 16, headDim: 128, vocab: 100352, tied: false },
  },
  {
    ...{ ...usual, name: 'deepseek4-flash', architecture: 'deepseek4', layers: 2, wholeLayers: 43 },
    ...{ embedding: 4096, inner: 2048, heads: 64, kvHeads: 1, headDim: 512, vocab: 129280 },
    ...{ experts: [256, 6], sharedExperts: 1, tied: false, epsilon: 1e-6 },
    deepseek4: {
      ...{ queryRank: 1024, rotated: 64, window: 128, ratios: [4, 128], outputGroups: 8 },
      ...{
        index: { heads: 64, keyLength: 128, most: 512 },
        outputRank: 1024,
        hashed: 1,
        limit: 10,
      },
    },
  },
  {
    ...{ ...usual, name: 'seed-oss-36b', architecture: 'seed_oss', layers: 2, wholeLayers: 64 },
    ...{ embedding: 5120, inner: 27648, heads: 80, kvHeads: 8, headDim: 128, vocab: 155136 },
    tied: false,
  },
  {
    ...{ ...usual, name: 'ernie4.5-0.3b', architecture: 'ernie4_5', layers: 18, embedding: 1024 },
    ...{ inner: 3072, heads: 16, kvHeads: 2, headDim: 128, vocab: 103424 },
  },
  {
    ...{ ...usual, name: 'hunyuan-0.5b', architecture: 'hunyuan-dense', layers: 24 },
    ...{ embedding: 1024, inner: 3584, heads: 16, kvHeads: 8, headDim: 128, vocab: 120818 },
  },
  // Small enough for tests of everything around a model, and what to pad such a model to.
  {
    ...{ ...qwen3, name: 'tiny', layers: 2, embedding: 64, inner: 128, heads: 4, kvHeads: 2 },
    ...{ headDim: 16, vocab: 512, context: 512 },
  },
  {
    ...{ ...qwen3, name: 'small', layers: 4, embedding: 256, inner: 512, heads: 4, kvHeads: 2 },
    ...{ headDim: 32, vocab: 512, context: 512 },
  },
];

/** The names for people, with what is left out of the models. */
export function describeShapes(): string {
  return knownShapes
    .map(({ name, layers, wholeLayers }) =>
      wholeLayers === undefined ? name : `${name} (${layers} of ${wholeLayers} layers)`,
    )
    .join(', ');
}
