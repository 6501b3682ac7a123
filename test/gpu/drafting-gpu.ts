/** Drafts on a card with `exact`, and several texts at once, whose buffers come and go: the text of plain steps. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { DraftKind } from '../../src/engine/types.js';
import { loadModel, type Model } from '../../src/index.js';

const prompts = ['export function ', 'class A {', 'import { x'];
const drafts: readonly DraftKind[] = ['ngram', 'mtp', 'dflash', 'auto'];

describe('drafting on a card', () => {
  let model: Model;
  const plain = new Map<string, readonly number[]>();

  const tokensOf = async (prompt: string, draft: DraftKind) => {
    const { tokens, draft: report } = await model.generate(prompt, {
      ...{ maxTokens: 16, temperature: 0, draft },
    });
    return { tokens, drafted: report.drafted, rechecked: report.rechecked ?? -1 };
  };

  before(async () => {
    model = await loadModel('default', {
      device: process.env.PACELINE_TEST_DEVICE ?? 'Vulkan0',
      contextLength: 512,
      exact: true,
    });
    for (const prompt of prompts) plain.set(prompt, (await tokensOf(prompt, 'none')).tokens);
  });
  after(() => model.dispose());

  for (const draft of drafts) {
    it(`says with ${draft}, of three texts at once, what single steps say`, async () => {
      const found = await Promise.all(prompts.map((prompt) => tokensOf(prompt, draft)));
      for (const [at, prompt] of prompts.entries()) {
        assert.deepEqual(found[at]?.tokens, plain.get(prompt), prompt);
      }
      assert.ok(found.every(({ rechecked }) => rechecked >= 0));
      assert.ok(found.some(({ drafted }) => drafted > 0) || draft === 'auto', 'nothing drafted');
    });
  }
});
