/** One small random model with random draft models, and what the engine promises about drafting with them. */
import { after, before, describe } from 'node:test';
import { type GgufContent, writeGguf } from '../../src/gguf/writer.js';
import { loadModel, type Model } from '../../src/index.js';
import { type RandomModelOptions, randomModel } from '../../src/synthetic/random-model.js';
import {
  type RandomDflashOptions,
  randomAssistant,
  randomDflash,
  randomMtp,
} from '../support/random-drafters.js';
import { temporaryFile } from '../support/tiny-model.js';
import { draftingConformance, sharedPassConformance } from './drafting-conformance.js';

const shape = {
  ...{ layers: 2, embedding: 64, heads: 4, headDim: 32, inner: 96, vocab: 331, context: 256 },
} as const;
const draftShape = { ...shape, kvHeads: 2 };

/** Letters of the random vocabulary. */
const alphabet = [262, 263, 264, 265, 266];

/** A drafter of the target's own family, or else a block of qwen3. */
function familyDrafter(target: RandomModelOptions): GgufContent {
  const { architecture } = target;
  if (architecture === 'gemma4') {
    const layers = { layers: 2, window: [8, 2] } as const;
    return randomAssistant({
      ...shape,
      ...target,
      ...layers,
      embedding: 48,
      width: shape.embedding,
    });
  }
  // Hybrid models, and those of several streams, come with blocks of their own kind.
  const own =
    architecture === 'qwen35' || architecture === 'qwen35moe' || architecture === 'deepseek4';
  const block = own ? { ...target, architecture } : {};
  return randomMtp({ ...draftShape, ...block, tied: false });
}

export interface DraftingCase {
  /** Of the DFlash model, where it is not a plain one. */
  readonly dflash?: Partial<RandomDflashOptions>;
  /** Default: both. */
  readonly kinds?: readonly ('mtp' | 'dflash')[];
}

/** Runs the suite on a target, with a block of its own family or of qwen3, and a DFlash model. */
export function draftingFor(
  title: string,
  target: RandomModelOptions,
  { dflash = {}, kinds = ['mtp', 'dflash'] }: DraftingCase = {},
): void {
  describe(`drafting for ${title}`, () => {
    let model: Model;
    before(async () => {
      const name = (kind: string) => temporaryFile(`${title}-${kind}.gguf`);
      const scale = target.architecture.startsWith('gemma') ? { embeddingScale: 8 } : {};
      await writeGguf(name('target'), randomModel({ ...shape, ...target }));
      await writeGguf(name('mtp'), familyDrafter(target));
      await writeGguf(
        name('dflash'),
        randomDflash({
          ...{ ...draftShape, ...scale, blockSize: 6, maskToken: 7, targetLayers: [2, 1] },
          sliding: [12, [true, false]],
          ...dflash,
        }),
      );
      model = await loadModel(name('target'), {
        ...{ threads: 1, contextLength: 256, prefillChunk: 8 },
        draftModels: [name('mtp'), name('dflash')],
      });
    });
    after(() => model.dispose());
    const options = { model: () => model, alphabet, promptLength: 13 } as const;
    draftingConformance(title, { ...options, kinds });
    sharedPassConformance(title, { ...options, kinds });
  });
}

/** A small DeepSeek V4, and its DSpark drafter, which has no tables for experts and no rows for blocks of positions. */
const form = {
  ...{ queryRank: 20, rotated: 8, window: 12, outputGroups: 2 },
  ...{ index: { heads: 3, keyLength: 16, most: 5 }, outputRank: 10, limit: 0.7 },
} as const;
export const deepseek4 = {
  ...{ architecture: 'deepseek4', headDim: 24, inner: 20, experts: [6, 2] },
  deepseek4: { ...form, ratios: [4, 128], hashed: 1 },
} as const satisfies RandomModelOptions;
export const dspark = {
  ...{ blocksOf: 'deepseek4', layers: 3, headDim: 24, inner: 20, experts: [6, 2] },
  ...{ deepseek4: { ...form, ratios: [0], hashed: 0 }, markov: { rank: 12, confidence: true } },
} as const satisfies Partial<RandomDflashOptions>;
