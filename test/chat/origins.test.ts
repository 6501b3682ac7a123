/** Who guessed which piece of a shown text. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OriginTracker } from '../../src/chat/origins.js';

test('a piece that is shown at once is its token', () => {
  const tracker = new OriginTracker();
  tracker.push('abc', { drafter: 'mtp' });
  assert.deepEqual(tracker.take('abc'), [{ length: 3, drafter: 'mtp' }]);
});

test('held-back text comes with its own tokens, and tokens without a character count', () => {
  const tracker = new OriginTracker();
  tracker.push('', { drafter: 'ngram' });
  tracker.push('é', {});
  tracker.push('STO', { drafter: 'mtp' });
  assert.deepEqual(tracker.take('é'), [{ length: 0, drafter: 'ngram' }, { length: 1 }]);
  tracker.push('RY', { wrong: { drafter: 'mtp', text: 'P' } });
  assert.deepEqual(tracker.take('STORY'), [
    { length: 3, drafter: 'mtp' },
    { length: 2, wrong: { drafter: 'mtp', text: 'P' } },
  ]);
});

test('marks that are taken out are skipped, and a token may be shown in parts', () => {
  const tracker = new OriginTracker();
  for (const text of ['<think', '>', 'so', ' it</', 'think>', '\n\n', 'Yes'])
    tracker.push(text, {});
  assert.deepEqual(tracker.take('so it'), [{ length: 2 }, { length: 3 }]);
  assert.deepEqual(tracker.take('Yes'), [{ length: 3 }]);
});

test('a text that was never said is one piece, and the next begins anew', () => {
  const tracker = new OriginTracker();
  tracker.push('a', { drafter: 'mtp' });
  assert.deepEqual(tracker.take('other'), [{ length: 5, drafter: 'mtp' }]);
  tracker.push('b', {});
  assert.deepEqual(tracker.take('b'), [{ length: 1 }]);
});
