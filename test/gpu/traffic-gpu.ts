/** What comes down from a card: the largest logits and nothing else, with the text of whole rows. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { DraftKind, GenerateOptions } from '../../src/engine/types.js';
import { loadModel, type Model } from '../../src/index.js';

const drafts: readonly DraftKind[] = ['none', 'mtp', 'dflash'];
/** Settings, and how many logits of a row they take. */
const settings: readonly (readonly [string, GenerateOptions, number])[] = [
  ['greedy', { temperature: 0 }, 8],
  ['seeded', { temperature: 0.8, topK: 40, topP: 0.95, minP: 0.05, seed: 5 }, 64],
];
const maxTokens = 6;

describe('traffic of a card', () => {
  let model: Model;
  before(async () => {
    const device = process.env.PACELINE_TEST_DEVICE ?? 'Vulkan0';
    model = await loadModel('default', { device, contextLength: 256 });
  });
  after(() => model.dispose());

  /** Tokens, bytes that came down, and the most that the largest logits are, with those of drafters. */
  async function run(options: GenerateOptions, taken: number) {
    const { backend, drafterSources } = model.runtime;
    const { down } = backend.traffic;
    const { tokens, draft } = await model.generate('export function ', { maxTokens, ...options });
    const { steps, drafted } = draft;
    const block = drafterSources.find(({ name }) => name === 'dflash')?.maxDrafts ?? 0;
    const guessed = options.draft === 'dflash' ? steps * block : drafted;
    // A place, an element and the sum of each row; drafters are told probabilities too.
    const most = (steps + drafted + 1) * (8 * taken + 4) + guessed * (12 * taken + 4);
    return { tokens, drafted, most, bytes: backend.traffic.down - down };
  }

  for (const [name, options, taken] of settings) {
    for (const draft of drafts) {
      it(`is the largest logits: ${name}, ${draft}`, async () => {
        const { runner } = model.runtime;
        const { selects } = runner;
        const top = await run({ ...options, draft }, taken);
        runner.selects = () => false;
        const whole = await run({ ...options, draft }, taken);
        runner.selects = selects;
        assert.deepEqual(top.tokens, whole.tokens);
        assert.equal(top.drafted > 0, draft !== 'none');
        assert.ok(top.bytes > 0 && top.bytes <= top.most, `${top.bytes} bytes, not ${top.most}`);
        assert.ok(whole.bytes > 4 * top.bytes, `${top.bytes} of ${whole.bytes}`);
      });
    }
  }
});
