/** One small random model with random draft models, and what the engine promises about drafting with them. */
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
  // Hybrid models come with blocks of their own kind.
  const hybrid = architecture === 'qwen35' || architecture === 'qwen35moe';
  const block = hybrid ? { ...target, architecture } : {};
  return randomMtp({ ...draftShape, ...block, tied: false });
}

/** Runs the suite on a target, with a block of its own family or of qwen3, and a DFlash model. */
export function draftingFor(title: string, target: RandomModelOptions): void {
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
