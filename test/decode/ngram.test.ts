import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Chooser } from '../../src/decode/chooser.js';
import { NgramDrafter, ngramSource } from '../../src/decode/ngram.js';
import { resolveSampling } from '../../src/decode/settings.js';
import { SuffixAutomaton } from '../../src/decode/suffix-automaton.js';
import { drafterConformance } from './drafter-conformance.js';
import { Random } from './support.js';

/** The longest suffix that ends earlier, and the most recent such end, by trying all. */
function slowMatch(tokens: readonly number[]): { length: number; end: number } {
  const n = tokens.length;
  let best = { length: 0, end: 0 };
  for (let end = 1; end < n; end++) {
    let length = 0;
    while (length < end && tokens[end - 1 - length] === tokens[n - 1 - length]) length += 1;
    if (length > 0 && length >= best.length) best = { length, end };
  }
  return best;
}

function randomText(random: Random, length: number, alphabet: number): number[] {
  const text: number[] = [];
  while (text.length < length) {
    if (text.length > 4 && random.uniform() < 0.2) {
      const from = random.below(text.length);
      text.push(...text.slice(from, from + random.below(12)));
    } else {
      text.push(random.below(alphabet));
    }
  }
  return text.slice(0, length);
}

test('the automaton knows the longest repeated suffix and its most recent place', () => {
  const random = new Random(1);
  let recent = 0;
  let all = 0;
  for (let round = 0; round < 150; round++) {
    const text = randomText(random, 120, random.pick([1, 2, 4, 50]));
    const automaton = new SuffixAutomaton();
    text.forEach((token, i) => {
      automaton.append(token);
      const expected = slowMatch(text.slice(0, i + 1));
      assert.equal(automaton.matchLength, expected.length, `round ${round}, token ${i}`);
      if (expected.length === 0) return;
      const end = automaton.matchEnd;
      for (let back = 0; back < expected.length; back++) {
        assert.equal(text[end - 1 - back], text[i - back]);
      }
      assert.ok(end <= i);
      all += 1;
      if (end === expected.end) recent += 1;
    });
  }
  // Only in long runs of one token may short suffixes lag behind.
  assert.ok(recent > 0.98 * all, `${recent} of ${all}`);
});

test('pop undoes exactly the last append', () => {
  const random = new Random(2);
  for (let round = 0; round < 60; round++) {
    const alphabet = random.pick([1, 2, 5, 30]);
    const automaton = new SuffixAutomaton();
    let text: number[] = [];
    for (let turn = 0; turn < 60; turn++) {
      if (random.uniform() < 0.4) {
        const count = random.below(text.length + 1);
        for (let i = 0; i < count; i++) automaton.pop();
        text = text.slice(0, text.length - count);
      }
      const more = randomText(random, random.below(60), alphabet);
      for (const token of more) automaton.append(token);
      text.push(...more);
      const fresh = new SuffixAutomaton();
      for (const token of text) fresh.append(token);
      assert.equal(automaton.length, fresh.length);
      assert.equal(automaton.matchLength, fresh.matchLength);
      assert.equal(automaton.matchEnd, fresh.matchEnd);
      // What it will say of the future is the same, too.
      for (let i = 0; i < 5; i++) {
        const token = random.below(alphabet);
        automaton.append(token);
        fresh.append(token);
        assert.equal(automaton.matchLength, fresh.matchLength);
        assert.equal(automaton.matchEnd, fresh.matchEnd);
      }
      for (let i = 0; i < 5; i++) automaton.pop();
    }
  }
});

const settings = resolveSampling({ seed: 1 });

test('the drafter copies what followed the longest match last', () => {
  const drafter = new NgramDrafter();
  const guess = (tokens: number[], limit = 4) => {
    drafter.reset();
    drafter.observe({ position: 0, tokens: tokens.slice(0, -1) });
    return drafter.propose({ chooser: new Chooser({ settings, tokens }), limit }).tokens;
  };
  assert.deepEqual(guess([1, 2, 3, 4, 5, 9, 1, 2, 3]), [4, 5, 9, 1]);
  assert.deepEqual(guess([7, 2, 3, 8, 1, 2, 3, 4, 5, 7, 2, 3]), [8, 1, 2, 3], 'longest first');
  assert.deepEqual(guess([2, 3, 8, 2, 3, 5, 6, 2, 3], 2), [5, 6], 'most recent of equals');
  assert.deepEqual(guess([1, 2, 1, 2]), [1, 2, 1, 2], 'a loop goes on');
  assert.deepEqual(guess([1, 2, 3]), []);
  assert.deepEqual(guess([1, 2, 1], 4), [], 'one token is no match by default');
  assert.deepEqual(guess([1, 2, 3, 1, 2], 0), []);
});

test('memory is bounded, and positions stay absolute', () => {
  const random = new Random(3);
  const drafter = new NgramDrafter({ maxTokens: 1000 });
  const text = randomText(random, 20_000, 50);
  drafter.observe({ position: 0, tokens: text.slice(0, 2000) });
  const bytes = drafter.bytes;
  drafter.observe({ position: 2000, tokens: text.slice(2000) });
  assert.equal(drafter.length, 20_000);
  assert.ok(drafter.bytes <= 2 * bytes);
  assert.ok(drafter.truncate(19_900));
  assert.equal(drafter.length, 19_900);
  assert.ok(drafter.truncate(50));
  assert.equal(drafter.length, 50);
  drafter.observe({ position: 50, tokens: [1, 2, 3, 1] });
  const tokens = [...text.slice(0, 50), 1, 2, 3, 1, 2];
  assert.deepEqual(
    drafter.propose({ chooser: new Chooser({ settings, tokens }), limit: 1 }).tokens,
    [3],
  );
});

drafterConformance('ngram', { source: ngramSource(), vocabularySize: 40 });
drafterConformance('ngram, one token matches, small memory', {
  source: ngramSource({ minMatch: 1, maxTokens: 64, maxDrafts: 5 }),
  vocabularySize: 5,
});
