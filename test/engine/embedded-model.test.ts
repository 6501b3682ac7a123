import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { loops } from '../../bench/repetition.js';
import { loadModel } from '../../src/index.js';

describe('the embedded model', () => {
  // Portable kernels, so that the text is the same on every machine.
  test('does not loop within 64 greedy tokens', async () => {
    await using model = await loadModel('default', { reproducible: 'everywhere', cache: false });
    const { tokens } = await model.generate('export function ', {
      ...{ maxTokens: 64, temperature: 0, draft: 'none' },
    });
    assert.ok(tokens.length > 16);
    assert.equal(loops(tokens), false);
  });

  test('a loop is one', () => {
    const line = [1, 2, 3, 4, 5, 6, 7, 8, 9];
    assert.equal(loops([...line, ...line, ...line]), true);
    assert.equal(loops([...line, ...line]), false);
    assert.equal(loops(Array.from({ length: 48 }, (_, at) => at % 7)), true);
  });
});
