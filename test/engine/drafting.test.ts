/** The promises of drafting on small random models of all architectures, with random draft models. */
import { after, before, describe } from 'node:test';
import { type GgufContent, writeGguf } from '../../src/gguf/writer.js';
import { loadModel, type Model } from '../../src/index.js';
import { type RandomModelOptions, randomModel } from '../../src/synthetic/random-model.js';
import { randomAssistant, randomDflash, randomMtp } from '../support/random-drafters.js';
import { temporaryFile } from '../support/tiny-model.js';
import { draftingConformance, sharedPassConformance } from './drafting-conformance.js';

const shape = {
  ...{ layers: 2, embedding: 64, heads: 4, headDim: 32, inner: 96, vocab: 331, context: 256 },
} as const;
const draftShape = { ...shape, kvHeads: 2 };

/** Gemma 4 as E2B, whose last layers read the rows of others, and as 26B-A4B, with experts. */
const gemma4 = {
  'gemma4, as E2B': {
    ...{ architecture: 'gemma4', layers: 4, kvHeads: 1, window: [8, 2] },
    gemma4: { windowHeadDim: 16, perLayer: 16, shared: 2 },
  },
  'gemma4, as 26B-A4B': {
    ...{ architecture: 'gemma4', kvHeads: 2, window: [8, 2], experts: [4, 2] },
    gemma4: { perLayer: 0, rawValues: true, fullKvHeads: 1, expertInner: 32, together: true },
  },
} as const satisfies Record<string, RandomModelOptions>;

const targets = [
  { architecture: 'llama' },
  { architecture: 'qwen2' },
  { architecture: 'qwen3', tied: false },
  { architecture: 'qwen3moe', experts: [4, 2] },
  { architecture: 'olmoe', experts: [4, 2] },
  { architecture: 'gemma3', window: [8, 2] },
  { architecture: 'qwen35', tied: false },
  { architecture: 'qwen35moe', experts: [4, 2] },
] as const satisfies readonly RandomModelOptions[];

/** Letters of the random vocabulary. */
const alphabet = [262, 263, 264, 265, 266];

const cases: readonly (readonly [string, RandomModelOptions])[] = [
  ...targets.map((target) => [target.architecture, target] as const),
  ...Object.entries(gemma4),
];

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
  // Hybrid models come with blocks of their own kind.
  const hybrid = architecture === 'qwen35' || architecture === 'qwen35moe';
  const block = hybrid ? { ...target, architecture } : {};
  return randomMtp({ ...draftShape, ...block, tied: false });
}

for (const [title, target] of cases) {
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
        }),
      );
      model = await loadModel(name('target'), {
        ...{ threads: 1, contextLength: 256, prefillChunk: 8 },
        draftModels: [name('mtp'), name('dflash')],
      });
    });
    after(() => model.dispose());
    const options = { model: () => model, alphabet, promptLength: 13 } as const;
    draftingConformance(title, { ...options, kinds: ['mtp', 'dflash'] });
    sharedPassConformance(title, { ...options, kinds: ['mtp', 'dflash'] });
  });
}
