/** The rows that drafters are shown are the model's, whatever graphs were computed before. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { FeatureRows } from '../../src/decode/feature-rows.js';
import type { FeatureRequest } from '../../src/engine/pass-runner.js';
import { loadModel } from '../../src/index.js';

it('gives tapped and hidden rows of a long pass as it gives them one by one', async () => {
  await using model = await loadModel('default', { threads: 1, contextLength: 128 });
  const { runtime } = model;
  const last = runtime.model.hyperparameters.layerCount;
  const tokens = Array.from({ length: 80 }, (_, index) => (index * 37) % 500);
  const wanted: FeatureRequest[] = [
    { hidden: true, rows: tokens.length },
    // The same number of operations of the same sizes, but other results to keep.
    { taps: [1, 3, last], rows: tokens.length },
    { hidden: true, taps: [2], rows: tokens.length },
  ];
  for (const features of wanted) {
    const long = runtime.createText();
    const whole = await runtime.run(long, tokens, { features });
    runtime.release(long);
    const single = runtime.createText();
    for (const [position, token] of tokens.entries()) {
      const step = await runtime.run(single, [token], { features: { ...features, rows: 1 } });
      for (const kind of ['hidden', 'taps'] as const) {
        const [row, all] = [step[kind], whole[kind]];
        assert.equal(row === undefined, all === undefined);
        if (row === undefined || all === undefined) continue;
        const part = all.data.subarray(position * all.width, (position + 1) * all.width);
        assert.deepEqual(part, row.data, `${kind} at ${position}`);
      }
    }
    runtime.release(single);
  }
});

it('gives hidden rows of the end of long passes that several sequences share', async () => {
  await using model = await loadModel('default', { threads: 1, contextLength: 128 });
  const { runtime } = model;
  const last = runtime.model.hyperparameters.layerCount;
  const wanted: (FeatureRequest | undefined)[] = [
    { hidden: true, rows: 50, hiddenRows: 7 },
    undefined,
    { hidden: true, taps: [2], rows: 30, hiddenRows: 1 },
    { hidden: true, rows: 60 },
  ];
  for (const taps of [undefined, [last]]) {
    const texts = wanted.map((features, index) => ({
      tokens: Array.from({ length: 40 + index }, (_, at) => (at * 31 + index * 7) % 500),
      // A tap of the last layer wants it whole.
      features: index === 0 && features && taps ? { ...features, taps } : features,
    }));
    const sequences = texts.map(() => runtime.createText());
    const together = await Promise.all(
      texts.map(async ({ tokens, features }, index) => {
        const text = sequences[index];
        return text && runtime.run(text, tokens, { features });
      }),
    );
    assert.ok((together[0]?.otherRows ?? 0) > 100, 'they shared a pass');
    for (const [index, { tokens, features }] of texts.entries()) {
      const single = runtime.createText();
      const all = features && { ...features, rows: tokens.length, hiddenRows: tokens.length };
      const alone = await runtime.run(single, tokens, { features: all });
      const [found, expected] = [together[index], alone];
      assert.deepEqual(found?.logits, expected.logits);
      for (const kind of ['hidden', 'taps'] as const) {
        const part: FeatureRows | undefined = found?.[kind];
        const whole: FeatureRows | undefined = expected[kind];
        if (part === undefined || whole === undefined) {
          assert.equal(part, whole);
          continue;
        }
        const limit = (kind === 'hidden' ? features?.hiddenRows : undefined) ?? features?.rows ?? 0;
        assert.equal(part.rows, Math.min(tokens.length, limit));
        const start: number = (whole.rows - part.rows) * whole.width;
        assert.deepEqual(part.data, whole.data.subarray(start), `${kind} of ${index}`);
      }
      runtime.release(single);
    }
    for (const sequence of sequences) runtime.release(sequence);
  }
});
