/** Verifying finds nothing on models of every kind of state with their families' own drafters. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { verifyModel } from '../../src/engine/verify/verify.js';
import { type GgufContent, writeGguf } from '../../src/gguf/writer.js';
import { loadModel } from '../../src/index.js';
import { type RandomModelOptions, randomModel } from '../../src/synthetic/random-model.js';
import { randomAssistant, randomDflash, randomModelWithMtp } from '../support/random-drafters.js';
import { temporaryFile } from '../support/tiny-model.js';

const shape = {
  ...{ layers: 4, embedding: 64, heads: 4, kvHeads: 1, headDim: 32, inner: 96, vocab: 331 },
} as const;
const dflash = randomDflash({
  ...{ ...shape, kvHeads: 2, layers: 2, blockSize: 5, maskToken: 7, targetLayers: [2, 4, 1] },
});
const e2b = {
  ...{ ...shape, architecture: 'gemma4', window: [8, 2] },
  gemma4: { windowHeadDim: 16, perLayer: 16, shared: 2 },
} as const satisfies RandomModelOptions;
const a4b = {
  ...{ ...shape, architecture: 'gemma4', kvHeads: 2, window: [8, 2], experts: [5, 2] },
  gemma4: { perLayer: 0, rawValues: true, fullKvHeads: 1, expertInner: 32, together: true },
} as const satisfies RandomModelOptions;

function assistantOf(target: RandomModelOptions): GgufContent {
  const own = { layers: 4, window: [8, 4], embedding: 48, width: shape.embedding } as const;
  return randomAssistant({ ...target, ...own });
}

const cases: Readonly<Record<string, readonly [GgufContent, ...GgufContent[]]>> = {
  'gemma4 as E2B': [randomModel(e2b), assistantOf(e2b), dflash],
  'gemma4 as 26B-A4B': [randomModel(a4b), assistantOf(a4b), dflash],
  'qwen35 with its block': [
    randomModelWithMtp({ ...shape, architecture: 'qwen35', tied: false }),
    dflash,
  ],
};

for (const [name, [model, ...drafts]] of Object.entries(cases)) {
  it(`verify: ${name} is identical with every drafter`, async () => {
    const paths = await Promise.all(
      [model, ...drafts].map(async (content, at) => {
        const path = temporaryFile(`${name}-${at}.gguf`);
        await writeGguf(path, content);
        return path;
      }),
    );
    const [path = '', ...draftModels] = paths;
    const outcome = await verifyModel({
      open: (threads) => loadModel(path, { threads, contextLength: 128, draftModels }),
      ...{ prompts: ['a b c d a b c d a b'], temperatures: [1], seeds: [1], maxTokens: 20 },
      ...{ threads: [1], chunks: [3] },
    });
    assert.ok(outcome.identical, JSON.stringify(outcome.differences[0]));
    for (const kind of ['ngram', 'mtp', 'dflash']) {
      const found = outcome.variations.find(({ variation }) => variation === `draft ${kind}`);
      assert.ok(found !== undefined && (kind === 'ngram' || found.drafted > 0), kind);
    }
  });
}
