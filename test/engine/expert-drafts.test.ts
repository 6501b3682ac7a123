/** Texts of a model whose experts stay in their file: the same with every drafter and every size of the cache. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { GgmlType } from '../../src/ggml/types.js';
import { writeGguf } from '../../src/gguf/writer.js';
import { type GenerateOptions, loadModel } from '../../src/index.js';
import { randomModel } from '../../src/synthetic/random-model.js';
import { randomDflash, randomMtp } from '../support/random-drafters.js';
import { temporaryFile } from '../support/tiny-model.js';

const shape = {
  ...{ layers: 2, embedding: 64, heads: 4, headDim: 32, inner: 96, vocab: 331, context: 256 },
} as const;
/** Letters of the random vocabulary: few, so that random drafters are right now and then. */
const alphabet = [262, 263, 264, 265, 266];
const prompt = Array.from({ length: 25 }, (_, at) => alphabet[(at * at * 7 + at * 3) % 5] ?? 0);

const settings: readonly GenerateOptions[] = [
  { temperature: 0 },
  { temperature: 6, topK: 0, topP: 1, minP: 0, seed: 3 },
];

for (const [architecture, type] of [
  ['qwen3moe', GgmlType.F32],
  ['olmoe', GgmlType.Q8_0],
] as const) {
  describe(`texts of ${architecture}, with experts in the file`, () => {
    it('are the same for all drafters and sizes', async () => {
      const name = (kind: string) => temporaryFile(`drafts-${architecture}-${kind}.gguf`);
      await writeGguf(
        name('target'),
        randomModel({ ...shape, architecture, type, experts: [8, 2] }),
      );
      await writeGguf(name('mtp'), randomMtp({ ...shape, kvHeads: 2, tied: false }));
      await writeGguf(
        name('dflash'),
        randomDflash({
          ...{ ...shape, kvHeads: 2, blockSize: 6, maskToken: 7, targetLayers: [2, 1] },
          sliding: [12, [true, false]],
        }),
      );
      let expected: unknown;
      let whole = 0;
      for (const share of [undefined, 1, 0.7, 0.5, 0.3]) {
        const model = await loadModel(name('target'), {
          ...{ threads: 2, contextLength: 200, prefillChunk: 8, device: 'cpu' },
          draftModels: [name('mtp'), name('dflash')],
          ...(share === undefined ? {} : { expertMemory: Math.ceil((whole || 1e9) * share) }),
        });
        try {
          whole = model.info.experts?.whole ?? whole;
          assert.equal(model.info.experts === undefined, share === undefined);
          for (const draft of ['none', 'ngram', 'mtp', 'dflash'] as const) {
            const texts = [];
            for (const each of settings) {
              const {
                tokens,
                logprobs,
                draft: drafted,
              } = await model.generate(prompt, {
                ...{ ...each, draft, maxTokens: 30, logprobs: 1 },
                logitBias: Object.fromEntries(alphabet.map((token) => [token, 200])),
              });
              if (draft !== 'none') assert.ok(drafted.drafted > 0, draft);
              texts.push({ tokens, logprobs });
            }
            expected ??= texts;
            assert.deepEqual(texts, expected, `${share} ${draft}`);
          }
        } finally {
          await model.dispose();
        }
      }
    });
  });
}
