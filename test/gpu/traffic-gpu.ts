/** What comes down from a card: the largest logits and nothing else, with the text of whole rows. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { DraftKind, GenerateOptions } from '../../src/engine/types.js';
import { loadModel, type Model } from '../../src/index.js';

const drafts: readonly DraftKind[] = ['none', 'mtp', 'dflash'];
const settings: readonly (readonly [string, GenerateOptions])[] = [
  ['greedy', { temperature: 0 }],
  [
    'seeded',
    { temperature: 0.8, topK: 40, topP: 0.95, minP: 0.05, repetitionPenalty: 1.1, seed: 5 },
  ],
];
const maxTokens = 8;

describe('traffic of a card', () => {
  let model: Model;
  before(async () => {
    const device = process.env.PACELINE_TEST_DEVICE ?? 'Vulkan0';
    model = await loadModel('default', { device, contextLength: 256 });
  });
  after(() => model.dispose());

  /** Tokens, and bytes that came down for each of them. */
  async function run(options: GenerateOptions) {
    const { traffic } = model.runtime.backend;
    const { down } = traffic;
    const { tokens, draft } = await model.generate('export function ', { maxTokens, ...options });
    return { tokens, drafted: draft.drafted, bytes: (traffic.down - down) / tokens.length };
  }

  for (const [name, options] of settings) {
    for (const draft of drafts) {
      it(`is a few numbers a token: ${name}, ${draft}`, async () => {
        const { runner, model: language } = model.runtime;
        const { vocabSize, embeddingLength } = language.hyperparameters;
        const { selects } = runner;
        const top = await run({ ...options, draft });
        runner.selects = () => false;
        const whole = await run({ ...options, draft });
        runner.selects = selects;
        assert.deepEqual(top.tokens, whole.tokens);
        assert.equal(top.drafted > 0, draft !== 'none');
        // A row that is read once would show, and so would hidden rows.
        assert.ok(whole.bytes >= 4 * vocabSize, `${whole.bytes}`);
        const most = draft === 'none' ? 4 * embeddingLength : 16 * embeddingLength;
        assert.ok(top.bytes < Math.min(most, vocabSize), `${top.bytes}, of ${whole.bytes}`);
      });
    }
  }
});
