/** A prefill that takes seconds ends when asked, in the middle of a chunk, and harms nothing. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { GgmlType } from '../../src/ggml/types.js';
import { loadModel } from '../../src/index.js';
import { withRandomModel } from '../oracle/runner.js';

/** One chunk of this length is most of a second's work. */
const length = 4000;
const shape = {
  ...({ architecture: 'llama', type: GgmlType.Q8_0, layers: 2, context: 4096 } as const),
  ...{ embedding: 512, inner: 2048, headDim: 128 },
};
const prompt = Array.from({ length }, (_, index) => 10 + ((index * 131) % 300));

describe('aborting a long prefill', () => {
  it('ends the text with its reason; the session goes on as if nothing had been', async () => {
    await withRandomModel(shape, async (path) => {
      await using model = await loadModel(path, { threads: 2, prefillChunk: length });
      const session = model.createSession();
      const controller = new AbortController();
      const events: string[] = [];
      setTimeout(() => {
        events.push(session.busy ? 'busy' : 'idle');
        controller.abort();
      }, 20);
      const settings = { temperature: 0, maxTokens: 3 } as const;
      const aborted = await session.generate(prompt, { ...settings, signal: controller.signal });
      assert.deepEqual(events, ['busy']);
      assert.equal(aborted.finishReason, 'abort');
      assert.deepEqual([aborted.text, aborted.tokens.length], ['', 0]);
      const short = prompt.slice(0, 90);
      const next = await session.generate(short, settings);
      assert.equal(next.cachedTokens, 0);
      assert.deepEqual(next.tokens, (await model.generate(short, settings)).tokens);
      session.dispose();
    });
  });
});
