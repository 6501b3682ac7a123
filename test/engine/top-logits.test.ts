/**
 * The largest logits taken where rows are computed, as on a card: here on the CPU, by ggml's operations. The
 * text is that of whole rows with every drafter, and less is copied.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { DraftKind, GenerateOptions } from '../../src/engine/types.js';
import { loadModel, type Model } from '../../src/index.js';

const prompt = 'class Queue<T> {\n';
const drafts: readonly DraftKind[] = ['none', 'ngram', 'mtp', 'dflash'];
const settings: readonly (readonly [string, GenerateOptions])[] = [
  ['greedy', { temperature: 0 }],
  ['seeded', { temperature: 0.8, topK: 40, topP: 0.95, minP: 0.05, seed: 5 }],
  ['penalties', { temperature: 0.9, topK: 20, repetitionPenalty: 1.2, penaltyWindow: 32, seed: 6 }],
];

describe('the largest logits', () => {
  let model: Model;
  before(async () => {
    model = await loadModel('default', { contextLength: 512 });
  });
  after(() => model.dispose());

  /** Tokens, and bytes that came down, with the largest logits or whole rows. */
  async function run(options: GenerateOptions, top: boolean) {
    const { runner, backend } = model.runtime;
    runner.selects = () => top;
    const { down } = backend.traffic;
    const { tokens } = await model.generate(prompt, { maxTokens: 24, ...options });
    return { tokens, bytes: backend.traffic.down - down };
  }

  for (const [name, options] of settings) {
    for (const draft of drafts) {
      it(`give the text of whole rows: ${name}, ${draft}`, async () => {
        const whole = await run({ ...options, draft }, false);
        const top = await run({ ...options, draft }, true);
        assert.deepEqual(top.tokens, whole.tokens);
        assert.ok(top.bytes < whole.bytes, `${top.bytes} of ${whole.bytes} bytes`);
        if (draft === 'none') assert.ok(top.bytes < whole.bytes / 5, `${top.bytes}`);
      });
    }
  }

  it('are not asked for where the whole row decides', async () => {
    let asked = 0;
    const options = { temperature: 1, topK: 0, seed: 3, maxTokens: 8 } as const;
    model.runtime.runner.selects = () => {
      asked++;
      return true;
    };
    await model.generate('const a', options);
    await model.generate('const a', { ...options, temperature: 0, logprobs: 2 });
    assert.equal(asked, 0);
    await model.generate('const a', { ...options, temperature: 0 });
    assert.ok(asked > 0);
  });

  it('serve texts of one pass that want more, fewer, and whole rows', async () => {
    const kinds: readonly GenerateOptions[] = [
      ...settings.map(([, options]) => options),
      { temperature: 1, topK: 0, seed: 4 },
      { temperature: 0, constraint: { type: 'regex', pattern: '[a-z ]+' } },
    ];
    const all = () =>
      Promise.all(kinds.map((kind) => model.generate('let x', { maxTokens: 24, ...kind })));
    model.runtime.runner.selects = () => false;
    const expected = await all();
    model.runtime.runner.selects = () => true;
    const found = await all();
    assert.deepEqual(
      found.map(({ tokens }) => tokens),
      expected.map(({ tokens }) => tokens),
    );
  });
});
