import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PacelineError } from '../../src/base/errors.js';
import { argmax, filterCandidates } from '../../src/decode/filters.js';
import { gumbel, noiseKey } from '../../src/decode/noise.js';
import { sampleToken } from '../../src/decode/sampler.js';
import { resolveSampling, type SamplingInput } from '../../src/decode/settings.js';
import { chiSquareDeviate, Random, slowFilter, softmax } from './support.js';

const unfiltered = { topK: 0, topP: 1, minP: 0 } as const;

function settings(input: SamplingInput) {
  return resolveSampling({ temperature: 1, ...unfiltered, seed: 1, ...input });
}

/** Counts of 100,000 draws at positions 0..99,999. */
function draw(logits: Float32Array, input: SamplingInput): Int32Array {
  const resolved = settings(input);
  const counts = new Int32Array(logits.length);
  for (let position = 0; position < 100_000; position++) {
    const { token } = sampleToken(logits, { position, history: [], settings: resolved });
    counts[token] = (counts[token] as number) + 1;
  }
  return counts;
}

test('100,000 draws follow the softmax; a sampler that is off by a little does not', () => {
  const random = new Random(5);
  for (const [size, temperature, seed] of [
    [2, 1, 1],
    [50, 0.7, 2],
    [50, 1.2, 3],
    [1000, 1, 4],
  ] as const) {
    const logits = random.logits(size, 2);
    const counts = draw(logits, { temperature, seed });
    const deviate = chiSquareDeviate(counts, softmax(logits, temperature));
    assert.ok(Math.abs(deviate) < 4, `${size} tokens: ${deviate}`);
    // The same draws against a temperature that is 5% off, and with one logit 0.1 too high.
    assert.ok(chiSquareDeviate(counts, softmax(logits, temperature * 1.05)) > 4);
    if (size > 50) continue; // one of very many tokens weighs too little to be seen
    const biased = logits.slice();
    biased[argmax(logits)] = (logits[argmax(logits)] as number) + 0.1;
    assert.ok(
      chiSquareDeviate(draw(biased, { temperature, seed }), softmax(logits, temperature)) > 4,
    );
  }
});

test('noise that ignores the position or reuses itself fails the same statistic', () => {
  const logits = new Random(6).logits(50, 2);
  const broken = new Int32Array(50);
  for (let position = 0; position < 100_000; position++) {
    const key = noiseKey(1, position & 1023); // repeats itself
    let token = 0;
    let score = Number.NEGATIVE_INFINITY;
    for (let id = 0; id < 50; id++) {
      const sum = (logits[id] as number) + gumbel(key, id);
      if (sum > score) {
        score = sum;
        token = id;
      }
    }
    broken[token] = (broken[token] as number) + 1;
  }
  assert.ok(chiSquareDeviate(broken, softmax(logits)) > 4);
});

test('neighbouring positions are independent', () => {
  const logits = new Float32Array([0.5, 0, -0.5, 1]);
  const resolved = settings({});
  const p = softmax(logits);
  const pairs = new Int32Array(16);
  let last = 0;
  for (let position = 0; position < 200_000; position++) {
    const { token } = sampleToken(logits, { position, history: [], settings: resolved });
    if (position & 1) pairs[last * 4 + token] = (pairs[last * 4 + token] as number) + 1;
    last = token;
  }
  const expected = Array.from(
    { length: 16 },
    (_, i) => (p[i >> 2] as number) * (p[i & 3] as number),
  );
  assert.ok(Math.abs(chiSquareDeviate(pairs, expected)) < 4);
});

test('a filtered draw follows the renormalised softmax', () => {
  const logits = new Random(7).logits(200, 2);
  const filters = { topK: 30, topP: 0.9, minP: 0.02, temperature: 0.9 };
  const kept = slowFilter(logits, filters);
  const p = softmax(logits, 0.9);
  const sum = kept.reduce((total, id) => total + (p[id] as number), 0);
  const expected = p.map((value, id) => (kept.includes(id) ? value / sum : 0));
  assert.ok(Math.abs(chiSquareDeviate(draw(logits, filters), expected)) < 4);
});

test('the filters agree with sorting everything', () => {
  const random = new Random(8);
  for (let round = 0; round < 3000; round++) {
    const size = random.pick([1, 2, 3, 17, 100, 700]);
    const logits = random.logits(size, random.pick([0.01, 1, 5, 30]));
    // Ties, and tokens that the model itself excludes.
    if (round % 3 === 0) for (let i = 0; i < size; i++) logits[i] = Math.round(logits[i] as number);
    if (round % 5 === 0) {
      for (let i = 1; i < size; i += 3) logits[i] = Number.NEGATIVE_INFINITY;
    }
    const filters = {
      temperature: random.pick([0.05, 0.7, 1, 2]),
      topK: random.pick([0, 1, 2, 5, 40, 5000]),
      // No multiples of 1/n, where rounding alone would decide between equal tokens.
      topP: random.pick([1, 0.9991, 0.9531, 0.5131, 0.1037, 0]),
      minP: random.pick([0, 0.001, 0.05, 0.7, 1]),
    };
    const kept = filterCandidates(logits, filters);
    const ids = Array.from(kept.ids.subarray(0, kept.count))
      .filter((id) => logits[id] !== Number.NEGATIVE_INFINITY)
      .sort((a, b) => a - b);
    // A token of weight zero may stand in either list: it cannot be drawn.
    const expected = slowFilter(logits, filters).filter(
      (id) =>
        ((logits[id] as number) - (logits[argmax(logits)] as number)) / filters.temperature > -40,
    );
    const drawable = ids.filter(
      (id) =>
        ((logits[id] as number) - (logits[argmax(logits)] as number)) / filters.temperature > -40,
    );
    assert.deepEqual(drawable, expected, JSON.stringify({ round, size, filters }));
  }
});

test('pruning with the rejection bound changes no draw', () => {
  const random = new Random(9);
  for (let round = 0; round < 300; round++) {
    const logits = random.logits(random.pick([5, 300, 3000]), random.pick([0.1, 2, 8]));
    const resolved = settings({ seed: round, temperature: random.pick([0.3, 1, 1.5]) });
    const position = random.below(10_000);
    const key = noiseKey(round, position);
    const largest = logits[argmax(logits)] as number;
    let token = -1;
    let score = Number.NEGATIVE_INFINITY;
    logits.forEach((logit, id) => {
      const sum = (logit - largest) / resolved.temperature + gumbel(key, id);
      if (sum > score) {
        score = sum;
        token = id;
      }
    });
    assert.equal(sampleToken(logits, { position, history: [], settings: resolved }).token, token);
  }
});

test('temperature 0 takes the largest logit, the lowest id at ties; a draw depends on position and seed alone', () => {
  const greedy = settings({ temperature: 0 });
  const tied = new Float32Array([1, 3, 2, 3, 3]);
  for (const position of [0, 1, 99]) {
    assert.equal(sampleToken(tied, { position, history: [], settings: greedy }).token, 1);
  }
  const logits = new Random(10).logits(1000, 1);
  const text = (seed: number, positions: number[]) =>
    positions.map(
      (position) =>
        sampleToken(logits, { position, history: [], settings: settings({ seed }) }).token,
    );
  const forward = Array.from({ length: 50 }, (_, i) => i);
  assert.deepEqual(text(3, forward), text(3, forward.toReversed()).toReversed());
  assert.notDeepEqual(text(3, forward), text(4, forward));
  assert.notDeepEqual(text(3, forward), text(3 + 2 ** 32, forward));
});

test('a tiny temperature is greedy, not NaN', () => {
  const logits = new Float32Array([1, 5, 4.999, -200]);
  for (const temperature of [1e-9, 1e-300, Number.MIN_VALUE]) {
    const { token } = sampleToken(logits, {
      position: 3,
      history: [],
      settings: settings({ temperature }),
    });
    assert.equal(token, 1);
  }
});

test('penalties look at the window only, and follow their definitions', () => {
  const logits = new Float32Array([2, 1.9, -1, -1.05, 0]);
  const pick = (history: number[], input: SamplingInput) =>
    sampleToken(logits, {
      position: history.length,
      history,
      settings: settings({ temperature: 0, ...input }),
    }).token;
  assert.equal(pick([0], { repetitionPenalty: 1.5 }), 1);
  assert.equal(pick([0, 1], { repetitionPenalty: 1.01 }), 0);
  assert.equal(pick([0, 4, 4], { repetitionPenalty: 1.5, penaltyWindow: 2 }), 0, 'out of window');
  assert.equal(pick([0, 4, 4], { repetitionPenalty: 1.5, penaltyWindow: 0 }), 0, 'window off');
  assert.equal(pick([0, 4, 4], { repetitionPenalty: 1.5, penaltyWindow: -1 }), 1, 'all tokens');
  assert.equal(pick([0], { presencePenalty: 0.2 }), 1);
  assert.equal(pick([0, 0, 0], { presencePenalty: 0.09 }), 0, 'presence counts once');
  assert.equal(pick([0, 0, 0], { frequencyPenalty: 0.04 }), 1, 'frequency counts each time');
  assert.equal(pick([0, 0, 1], { frequencyPenalty: 0.2 }), 1);
  // Negative logits are multiplied: a repeated one falls.
  const negative = new Float32Array([-1, -1.05]);
  const context = {
    position: 1,
    history: [0],
    settings: settings({ temperature: 0, repetitionPenalty: 1.2 }),
  };
  assert.equal(sampleToken(negative, context).token, 1);
  // Tokens of the history that the model does not have are no error.
  assert.equal(pick([99, -1], { repetitionPenalty: 2 }), 0);
  assert.deepEqual([...logits], [...new Float32Array([2, 1.9, -1, -1.05, 0])], 'row unchanged');
  // The counters are clean afterwards.
  assert.equal(pick([], { repetitionPenalty: 2 }), 0);
});

test('logit bias adds, bans, and may not ban everything', () => {
  const logits = new Float32Array([2, 1, 0]);
  const pick = (logitBias: Record<string, number>, temperature = 0) =>
    sampleToken(logits, {
      position: 0,
      history: [],
      settings: settings({ temperature, logitBias }),
    });
  assert.equal(pick({ 2: 5 }).token, 2);
  assert.equal(pick({ 0: Number.NEGATIVE_INFINITY }).token, 1);
  assert.equal(pick({ 0: -Infinity, 1: -Infinity }, 1).token, 2);
  assert.throws(
    () => pick({ 0: -Infinity, 1: -Infinity, 2: -Infinity }),
    (error) => PacelineError.is(error) && error.code === 'usage',
  );
});

test('NaN and infinite logits are typed errors, wherever they stand', () => {
  for (const value of [Number.NaN, Number.POSITIVE_INFINITY]) {
    for (const at of [0, 1, 4]) {
      for (const input of [{ temperature: 0 }, {}, { topK: 2 }, { repetitionPenalty: 1.1 }]) {
        const logits = new Float32Array([3, 1, 2, 0, 1]);
        logits[at] = value;
        assert.throws(
          () => sampleToken(logits, { position: 0, history: [1], settings: settings(input) }),
          (error) => PacelineError.is(error) && error.code === 'bad-weights',
        );
      }
    }
  }
  const none = new Float32Array(4).fill(Number.NEGATIVE_INFINITY);
  assert.throws(
    () => sampleToken(none, { position: 0, history: [], settings: settings({}) }),
    (error) => PacelineError.is(error) && error.code === 'bad-weights',
  );
});

test('logprobs are the log-softmax of the raw row, whatever settings are on', () => {
  const logits = new Random(12).logits(500, 3);
  const p = softmax(logits);
  const order = Array.from(logits.keys()).sort((a, b) => (p[b] as number) - (p[a] as number));
  const sampled = sampleToken(logits, {
    position: 2,
    history: [order[0] as number],
    settings: settings({
      temperature: 0.5,
      topK: 5,
      logprobs: 7,
      repetitionPenalty: 3,
      logitBias: { [order[1] as number]: -50 },
    }),
  });
  assert.ok(Math.abs((sampled.logprob ?? 0) - Math.log(p[sampled.token] as number)) < 1e-6);
  assert.deepEqual(
    sampled.top?.map((entry) => entry.token),
    order.slice(0, 7),
  );
  for (const { token, logprob } of sampled.top ?? []) {
    assert.ok(Math.abs(logprob - Math.log(p[token] as number)) < 1e-6);
  }
  assert.equal(
    sampleToken(logits, { position: 0, history: [], settings: settings({}) }).top,
    undefined,
  );
});

test('settings: defaults, and every bad value names its field', () => {
  const resolved = resolveSampling();
  assert.equal(resolved.temperature, 0.8);
  assert.equal(resolved.topK, 40);
  assert.ok(Number.isSafeInteger(resolved.seed) && resolved.seed >= 0);
  assert.equal(resolveSampling({ seed: -1 }, { randomSeed: () => 77 }).seed, 77);
  assert.deepEqual([...resolveSampling({ logitBias: { 3: -1 } }).logitBias], [[3, -1]]);
  const bad: [string, unknown][] = [
    ['temperature', -0.1],
    ['temperature', Number.NaN],
    ['temperature', '0.8'],
    ['temperature', Number.POSITIVE_INFINITY],
    ['topK', -1],
    ['topK', 1.5],
    ['topP', 1.01],
    ['topP', -1],
    ['minP', 2],
    ['repetitionPenalty', 0],
    ['presencePenalty', Number.NaN],
    ['frequencyPenalty', Number.NEGATIVE_INFINITY],
    ['penaltyWindow', -2],
    ['seed', 1.5],
    ['seed', 2 ** 53],
    ['logprobs', 101],
    ['logitBias', { x: 1 }],
    ['logitBias', { 50: 1 }],
    ['logitBias', { 1: Number.NaN }],
    ['logitBias', { 1: Number.POSITIVE_INFINITY }],
    ['logitBias', 3],
  ];
  for (const [field, value] of bad) {
    assert.throws(
      () => resolveSampling({ [field]: value } as SamplingInput, { vocabularySize: 50 }),
      (error) => PacelineError.is(error) && error.code === 'usage' && error.details.field === field,
      `${field} ${String(value)}`,
    );
  }
});
