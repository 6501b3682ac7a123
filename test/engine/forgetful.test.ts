/** Texts whose state cannot go back: as fast as it allows, and never another text. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { GenerateOptions } from '../../src/engine/types.js';
import { loadModel, type Model, Session } from '../../src/index.js';
import { ForgetfulState } from '../cache/forgetful-state.js';

const prompt = 'export function parse(text: string): ';
const options = { temperature: 0, maxTokens: 40 } as const satisfies GenerateOptions;

describe('state that cannot go back', () => {
  let model: Model;
  before(async () => {
    model = await loadModel('default', { threads: 1, contextLength: 1024 });
  });
  after(() => model.dispose());

  const open = () => {
    const state = new ForgetfulState(model.runtime.createState());
    return { state, session: new Session(model.runtime, model.runtime.createText({ state })) };
  };

  it('drafts, and rejects drafts, without forgetting anything', async () => {
    for (const draft of ['ngram', 'mtp', 'dflash', 'auto'] as const) {
      for (const settings of [options, { ...options, temperature: 1, seed: 3 }]) {
        const { state, session } = open();
        const expected = await model.generate(prompt, { ...settings, draft: 'none' });
        const found = await session.generate(prompt, { ...settings, draft });
        assert.deepEqual(found.tokens, expected.tokens, draft);
        if (draft === 'mtp' || draft === 'dflash') assert.ok(found.draft.drafted > 0);
        assert.equal(state.restarts, 0);
        session.dispose();
      }
    }
  });

  it('regenerates an answer for the price of its last prompt token', async () => {
    const { session } = open();
    const first = await session.generate(prompt, options);
    const again = await session.generate(prompt, options);
    assert.equal(again.cachedTokens, first.promptTokens - 1);
    assert.deepEqual(again.tokens, first.tokens);
    // Going on from what was said costs nothing either.
    const longer = [...model.tokenizer.encode(prompt), ...again.tokens];
    const next = await session.generate([...longer, 65], options);
    assert.ok(next.cachedTokens >= longer.length - 1);
    session.dispose();
  });

  it('pays the tokens since the last checkpoint when a message is edited', async () => {
    const { session } = open();
    const tokens = Array.from({ length: 700 }, (_, at) => 40 + ((at * 37) % 400));
    await session.generate(tokens, { ...options, maxTokens: 4 });
    const edited = [...tokens.slice(0, 600), 41, 42, 43];
    const found = await session.generate(edited, options);
    assert.ok(found.cachedTokens >= 512, `${found.cachedTokens} tokens were still there`);
    assert.deepEqual(found.tokens, (await model.generate(edited, options)).tokens);
    session.dispose();
  });

  it('truncates to where it can, and says so', async () => {
    const { session } = open();
    await session.generate(prompt, options);
    const prompted = model.tokenizer.encode(prompt).length;
    session.truncate(prompted + 5);
    assert.equal(session.tokens.length, prompted - 1);
    session.truncate(3);
    assert.equal(session.tokens.length, 0);
    const found = await session.generate(prompt, options);
    assert.deepEqual(found.tokens, (await model.generate(prompt, options)).tokens);
    session.dispose();
  });

  it('stays whole when an abort cuts a prefill or a draft', async () => {
    const { session } = open();
    const tokens = Array.from({ length: 900 }, (_, at) => 40 + ((at * 31) % 400));
    for (const delay of [1, 5, 20, 60]) {
      const stop = new AbortController();
      setTimeout(() => stop.abort(), delay);
      await session.generate(tokens, { ...options, draft: 'mtp', signal: stop.signal });
    }
    const found = await session.generate(tokens, options);
    assert.deepEqual(found.tokens, (await model.generate(tokens, options)).tokens);
    session.dispose();
  });
});
