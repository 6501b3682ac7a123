import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PacelineError } from '../../src/base/errors.js';
import { acceptDrafts, rowsOf } from '../../src/decode/accept.js';
import { Chooser } from '../../src/decode/chooser.js';
import type { Drafter, Proposal } from '../../src/decode/drafter.js';
import { resolveSampling } from '../../src/decode/settings.js';
import { Finish } from '../../src/decode/stop.js';

import { decode, hashTarget } from './fake-target.js';
import { chiSquareDeviate, Random, softmax } from './support.js';

/** A drafter that knows nothing of the protocol's state: it guesses by a function of the text. */
function guessing(guess: (tokens: ArrayLike<number>, limit: number) => number[]): Drafter {
  let length = 0;
  const drafter: Drafter = {
    name: 'fake',
    needs: {},
    maxDrafts: 16,
    get length() {
      return length;
    },
    bytes: 0,
    observe({ position, tokens }) {
      assert.equal(position, length);
      length += tokens.length;
    },
    propose({ chooser: { tokens }, limit }): Proposal {
      assert.equal(tokens.length, length + 1);
      return { tokens: limit <= 0 ? [] : guess(tokens, limit).slice(0, limit) };
    },
    truncate: () => false,
    snapshot: () => new Uint8Array(),
    restore: () => {},
    reset: () => {
      length = 0;
    },
    fork: () => drafter,
    dispose: () => {},
  };
  return drafter;
}

test('drafted and plain decoding give the same tokens, logprobs, text and finish', async () => {
  const random = new Random(1);
  let drafted = 0;
  let accepted = 0;
  const finishes = new Set<string>();
  for (let round = 0; round < 1500; round++) {
    const vocabularySize = random.pick([3, 8, 26, 60]);
    const target = hashTarget({
      vocabularySize,
      seed: round,
      order: random.below(4),
      spread: random.pick([0, 1, 4]),
    });
    const settings = resolveSampling({
      seed: random.word(),
      temperature: random.pick([0, 0, 0.3, 0.7, 1.2, 2]),
      topK: random.pick([0, 1, 3, 40]),
      topP: random.pick([1, 0.95, 0.5]),
      minP: random.pick([0, 0.05]),
      repetitionPenalty: random.pick([1, 1, 1.3]),
      presencePenalty: random.pick([0, 0, 0.5]),
      frequencyPenalty: random.pick([0, 0, 0.3]),
      penaltyWindow: random.pick([-1, 0, 4, 64]),
      logitBias:
        random.uniform() < 0.3 ? { [random.below(vocabularySize)]: random.normal() * 3 } : {},
      logprobs: random.pick([0, 0, 2]),
    });
    const common = {
      target,
      settings,
      prompt: Array.from({ length: 1 + random.below(10) }, () => random.below(vocabularySize)),
      maxTokens: 1 + random.below(40),
      endTokens: random.pick([[], [2]]),
      stop: random.pick([[], ['ab'], ['bca', 'cc']]),
    };
    const plain = await decode(common);
    // Guesses that are often right: the text itself, with a mistake here and there.
    const skill = random.pick([0, 0.5, 0.9, 1]);
    const drafter = guessing((tokens, limit) =>
      Array.from({ length: random.below(limit + 1) }, (_, i) =>
        random.uniform() < skill
          ? (plain.history[tokens.length + i] ?? random.below(vocabularySize))
          : random.below(vocabularySize),
      ),
    );
    const fast = await decode({ ...common, drafter, limit: 1 + random.below(16) });
    assert.deepEqual(fast.history, plain.history, `round ${round}`);
    assert.equal(fast.text, plain.text);
    assert.equal(fast.finish, plain.finish);
    const withoutFlag = (tokens: typeof plain.tokens) =>
      tokens.map(({ drafted: _, ...token }) => token);
    assert.deepEqual(withoutFlag(fast.tokens), withoutFlag(plain.tokens));
    assert.ok(plain.tokens.every((token) => !token.drafted));
    assert.equal(fast.tokens.filter((token) => token.drafted).length, fast.accepted);
    if (skill === 1) assert.ok(fast.passes <= plain.passes);
    drafted += fast.drafted;
    accepted += fast.accepted;
    finishes.add(plain.finish);
  }
  assert.ok(accepted > 5000 && drafted > 1.3 * accepted, `${accepted} of ${drafted}`);
  assert.deepEqual([...finishes].sort(), ['length', 'stop']);
});

const states = 6;

/** First-order Markov model with known probabilities. */
function markov(seed: number) {
  const rows = Array.from({ length: states }, (_, i) => new Random(seed + i).logits(states, 1.5));
  return {
    vocabularySize: states,
    rows,
    logits: (tokens: ArrayLike<number>) =>
      rows[tokens[tokens.length - 1] as number] as Float32Array,
  };
}

/** Counts the first three tokens of 34,000 texts, with a drafter that is right now and then. */
function firstThree(
  temperature: number,
  choose: typeof acceptDrafts,
  propose: (last: number, random: Random) => number[],
): Int32Array {
  const model = markov(17);
  const random = new Random(3);
  const counts = new Int32Array(states ** 3);
  for (let seed = 0; seed < 34_000; seed++) {
    const settings = resolveSampling({ seed, temperature, topK: 0, topP: 1, minP: 0 });
    const chooser = new Chooser({ settings, tokens: [0] });
    const finish = new Finish({ endTokens: new Set(), maxTokens: 3, toText: () => '' });
    for (let done = false; !done; ) {
      const drafts = propose(chooser.last, random);
      const inputs = [chooser.last, ...drafts];
      const row = (i: number) => model.rows[inputs[i] as number] as Float32Array;
      done = choose({ drafts, row, chooser, finish }).finish !== undefined;
    }
    const [, a, b, c] = chooser.tokens;
    const cell = ((a as number) * states + (b as number)) * states + (c as number);
    counts[cell] = (counts[cell] as number) + 1;
  }
  return counts;
}

function exactFirstThree(temperature: number): number[] {
  const { rows } = markov(17);
  const p = rows.map((row) => softmax(row, temperature));
  return Array.from({ length: states ** 3 }, (_, cell) => {
    const a = Math.floor(cell / states ** 2);
    const b = Math.floor(cell / states) % states;
    const at = (from: number, to: number) => p[from]?.[to] as number;
    return at(0, a) * at(a, b) * at(b, cell % states);
  });
}

test('over 100,000 draws drafting leaves the exact distribution as it is', () => {
  const { rows } = markov(17);
  const likeliest = (last: number) =>
    (rows[last] as Float32Array).indexOf(Math.max(...(rows[last] as Float32Array)));
  const greedy = (last: number) => [likeliest(last), likeliest(likeliest(last))];
  const rare = () => [5, 5, 5];
  const mixed = (_: number, random: Random) =>
    Array.from({ length: random.below(4) }, () => random.below(states));
  for (const temperature of [0.7, 1.2]) {
    for (const propose of [greedy, rare, mixed]) {
      const counts = firstThree(temperature, acceptDrafts, propose);
      const deviate = chiSquareDeviate(counts, exactFirstThree(temperature));
      assert.ok(Math.abs(deviate) < 4, `temperature ${temperature}: ${deviate}`);
    }
  }
  // The same test tells a loop that takes a guess now and then without asking the target.
  const gullible: typeof acceptDrafts = (input) => {
    const first = input.drafts[0];
    if (first === undefined || input.chooser.length % 2 === 0) return acceptDrafts(input);
    if (new Random(input.chooser.settings.seed).uniform() > 0.1) return acceptDrafts(input);
    input.chooser.accept(first);
    const step = input.finish.push(first);
    const tokens = [{ token: first, drafted: true, ...step }];
    return { tokens, accepted: 1, ...(step.finish === undefined ? {} : { finish: step.finish }) };
  };
  const counts = firstThree(1, gullible, greedy);
  assert.ok(chiSquareDeviate(counts, exactFirstThree(1)) > 4);
});

test('rows are asked for only as far as the guesses are right', () => {
  const vocabularySize = 4;
  const logits = new Float32Array([0, 1, 0, 0, /**/ 0, 0, 1, 0, /**/ 1, 0, 0, 0]);
  const asked: number[] = [];
  const rows = rowsOf(logits, vocabularySize);
  const settings = resolveSampling({ temperature: 0, seed: 0 });
  const chooser = new Chooser({ settings, tokens: [3] });
  const finish = new Finish({ endTokens: new Set(), maxTokens: 10, toText: () => '' });
  const row = (i: number) => {
    asked.push(i);
    return rows(i);
  };
  const step = acceptDrafts({ drafts: [1, 3], row, chooser, finish });
  assert.deepEqual(asked, [0, 1]);
  assert.equal(step.accepted, 1);
  assert.deepEqual([...chooser.tokens], [3, 1, 2]);
  assert.deepEqual(
    step.tokens.map(({ token, drafted }) => [token, drafted]),
    [
      [1, true],
      [2, false],
    ],
  );
});

test('a limit, an end token or a stop string inside a draft ends the text there', () => {
  const row = (i: number) => {
    const logits = new Float32Array(6);
    logits[i + 1] = 9;
    return logits;
  };
  const settings = resolveSampling({ temperature: 0, seed: 0 });
  const run = (options: { end?: number[]; maxTokens?: number; stop?: string[] }) => {
    const chooser = new Chooser({ settings, tokens: [0] });
    const finish = new Finish({
      endTokens: new Set(options.end ?? []),
      maxTokens: options.maxTokens ?? 10,
      stop: options.stop ?? [],
      toText: (token) => String(token),
    });
    return acceptDrafts({ drafts: [1, 2, 3, 4], row, chooser, finish });
  };
  const limited = run({ maxTokens: 2 });
  assert.deepEqual([limited.finish, limited.accepted, limited.tokens.length], ['length', 2, 2]);
  const ended = run({ end: [3] });
  assert.deepEqual([ended.finish, ended.accepted, ended.tokens.at(-1)?.keep], ['stop', 3, false]);
  const stopped = run({ stop: ['23'] });
  assert.deepEqual([stopped.finish, stopped.accepted], ['stop', 3]);
  assert.equal(stopped.tokens.map((token) => token.text).join(''), '1');
  const all = run({});
  assert.deepEqual([all.finish, all.accepted, all.tokens.length], [undefined, 4, 5]);
});

test('NaN inside a draft is a typed error, and the tokens before it stand', () => {
  const settings = resolveSampling({ temperature: 0, seed: 0 });
  const chooser = new Chooser({ settings, tokens: [0] });
  const finish = new Finish({ endTokens: new Set(), maxTokens: 10, toText: () => '' });
  const row = (i: number) => new Float32Array([0, i === 1 ? Number.NaN : 1]);
  assert.throws(
    () => acceptDrafts({ drafts: [1, 1], row, chooser, finish }),
    (error) => PacelineError.is(error) && error.code === 'bad-weights',
  );
  assert.deepEqual([...chooser.tokens], [0, 1]);
});
