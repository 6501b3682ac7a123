/** The promises of drafting on small random models of all architectures, with random draft models. */
import { after, before, describe } from 'node:test';
import { writeGguf } from '../../src/gguf/writer.js';
import { loadModel, type Model } from '../../src/index.js';
import { type RandomModelOptions, randomModel } from '../../src/synthetic/random-model.js';
import { randomDflash, randomMtp } from '../support/random-drafters.js';
import { temporaryFile } from '../support/tiny-model.js';
import { draftingConformance, sharedPassConformance } from './drafting-conformance.js';

const shape = {
  ...{ layers: 2, embedding: 64, heads: 4, headDim: 32, inner: 96, vocab: 331, context: 256 },
} as const;
const draftShape = { ...shape, kvHeads: 2 };

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

for (const target of targets) {
  describe(`drafting for ${target.architecture}`, () => {
    let model: Model;
    before(async () => {
      const name = (kind: string) => temporaryFile(`${target.architecture}-${kind}.gguf`);
      const scale = target.architecture === 'gemma3' ? { embeddingScale: 8 } : {};
      await writeGguf(name('target'), randomModel({ ...shape, ...target }));
      // Hybrid models come with blocks of their own kind.
      const { architecture } = target;
      const block = architecture.startsWith('qwen35') ? { ...target, architecture } : {};
      await writeGguf(name('mtp'), randomMtp({ ...draftShape, ...block, tied: false }));
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
    draftingConformance(target.architecture, { ...options, kinds: ['mtp', 'dflash'] });
    sharedPassConformance(target.architecture, { ...options, kinds: ['mtp', 'dflash'] });
  });
}
