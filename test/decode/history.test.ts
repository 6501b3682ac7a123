import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TokenHistory } from '../../src/decode/history.js';
import { sampleToken } from '../../src/decode/sampler.js';
import { resolveSampling } from '../../src/decode/settings.js';

test('a history can be cut back and keeps its tokens while it grows', () => {
  const history = new TokenHistory([1, 2]);
  for (let i = 0; i < 1000; i++) history.push(i);
  assert.equal(history.length, 1002);
  history.truncate(3);
  assert.deepEqual([...history.view()], [1, 2, 0]);
  history.truncate(10);
  assert.equal(history.length, 3);
  assert.equal(history.last, 0);
  assert.equal(new TokenHistory().last, -1);
  assert.equal(
    sampleToken(new Float32Array([0, 1]), {
      position: 3,
      history: history.view(),
      settings: resolveSampling({ temperature: 0, seed: 0 }),
    }).token,
    1,
  );
});
