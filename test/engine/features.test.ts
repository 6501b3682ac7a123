/** The rows that drafters are shown are the model's, whatever graphs were computed before. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { FeatureRequest } from '../../src/engine/batcher.js';
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
    const long = runtime.createSequence();
    const whole = await long.run(tokens, { features });
    runtime.release(long);
    const single = runtime.createSequence();
    for (const [position, token] of tokens.entries()) {
      const step = await single.run([token], { features: { ...features, rows: 1 } });
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
