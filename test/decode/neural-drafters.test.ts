/** The draft models that come with the default model, under the conformance suite of all drafters. */
import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { loadModel } from '../../src/index.js';
import { drafterConformance } from './drafter-conformance.js';

const model = await loadModel('default', { threads: 1, contextLength: 256 });
const { embeddingLength, vocabSize } = model.runtime.model.hyperparameters;

for (const name of ['mtp', 'dflash']) {
  const source = model.runtime.drafterSources.find((candidate) => candidate.name === name);
  assert.ok(source, `the default model comes with ${name}`);
  drafterConformance(name, {
    source,
    vocabularySize: vocabSize,
    rounds: 3,
    ...(source.needs.hidden ? { hiddenWidth: embeddingLength } : {}),
    ...(source.needs.taps ? { tapsWidth: embeddingLength * source.needs.taps.length } : {}),
  });
}

describe('drafting with the default model', () => {
  const prompts = ["import { readFile } from 'node:", '# Installation\n\n```sh\nnpm '];
  const settings = { maxTokens: 48, seed: 5 } as const;

  for (const temperature of [0, 0.8]) {
    for (const draft of ['mtp', 'dflash', 'auto'] as const) {
      it(`gives the undrafted text with ${draft} at temperature ${temperature}`, async () => {
        for (const prompt of prompts) {
          const options = { ...settings, temperature };
          const plain = await model.generate(prompt, { ...options, draft: 'none' });
          const drafted = await model.generate(prompt, { ...options, draft });
          assert.deepEqual(drafted.tokens, plain.tokens);
        }
      });
    }
  }

  for (const draft of ['mtp', 'dflash'] as const) {
    it(`${draft} guesses right often enough to take fewer passes, on every request`, async () => {
      for (let request = 0; request < 2; request++) {
        const counts = { drafted: 0, accepted: 0 };
        for (const prompt of prompts) {
          const session = model.createSession();
          const { draft: used } = await session.generate(prompt, {
            ...settings,
            temperature: 0,
            draft,
            draftMax: 3,
          });
          session.dispose();
          counts.drafted += used.drafted;
          counts.accepted += used.accepted;
        }
        const rate = counts.accepted / counts.drafted;
        assert.ok(rate > 0.15, `accepted ${counts.accepted} of ${counts.drafted}`);
      }
    });

    it(`${draft} goes on after forking and truncating`, async () => {
      const session = model.createSession();
      const options = { ...settings, temperature: 0, draft };
      const first = await session.generate(prompts[0] ?? '', options);
      const fork = session.fork();
      session.truncate(3);
      const again = await session.generate(prompts[0] ?? '', options);
      const other = await fork.generate(prompts[0] ?? '', options);
      assert.deepEqual(again.tokens, first.tokens);
      assert.deepEqual(other.tokens, first.tokens);
      session.dispose();
      fork.dispose();
    });
  }
});

after(() => model.dispose());
