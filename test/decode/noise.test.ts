import assert from 'node:assert/strict';
import { test } from 'node:test';
import { portableExp, portableLog } from '../../src/base/portable-math.js';
import {
  gumbel,
  gumbelFromHigh,
  noiseHigh,
  noiseKey,
  rejectionBound,
} from '../../src/decode/noise.js';
import { chiSquareDeviate, Random } from './support.js';

test('portable log and exp agree with Math to the last bits', () => {
  const random = new Random(1);
  for (let i = 0; i < 100_000; i++) {
    const x = 2 ** (random.uniform() * 200 - 100);
    const log = Math.log(x);
    assert.ok(Math.abs(portableLog(x) - log) <= 4e-16 * Math.abs(log), `log ${x}`);
    const nearOne = 1 - random.uniform() * 2 ** -(random.below(50) + 1);
    const small = Math.log(nearOne);
    assert.ok(Math.abs(portableLog(nearOne) - small) <= 6e-16 * Math.abs(small), `log ${nearOne}`);
    const y = random.uniform() * 1400 - 700;
    const exp = Math.exp(y);
    assert.ok(Math.abs(portableExp(y) - exp) <= 1e-15 * exp, `exp ${y}`);
  }
  assert.equal(portableExp(0), 1);
  assert.equal(portableExp(-1000), 0);
  assert.equal(portableExp(Number.NEGATIVE_INFINITY), 0);
  assert.equal(portableLog(1), 0);
});

test('the noise has fixed bits: they are part of what a seed means', () => {
  const key = noiseKey(42, 7);
  const words = [0, 1, 2, 150_000].map((token) => noiseHigh(key, token));
  assert.deepEqual(words, [3456785842, 345753609, 1276321933, 1562576692]);
  assert.equal(gumbel(noiseKey(2 ** 53 - 1, 123_456), 99), -0.2223494296707229);
});

test('uniform words fill their range evenly over tokens, positions, seeds and bits', () => {
  const cells = 256;
  const even = new Array<number>(cells).fill(1 / cells);
  const draws: [string, (i: number) => number][] = [
    ['tokens', (i) => noiseHigh(noiseKey(1, 5), i)],
    ['positions', (i) => noiseHigh(noiseKey(1, i), 5)],
    ['seeds', (i) => noiseHigh(noiseKey(i, 5), 5)],
    ['high seeds', (i) => noiseHigh(noiseKey(i * 2 ** 32, 5), 5)],
    ['diagonal', (i) => noiseHigh(noiseKey(9, i), i)],
    [
      'position differences',
      (i) => {
        const a = noiseHigh(noiseKey(3, i), 17);
        return (a - noiseHigh(noiseKey(3, i + 1), 17)) >>> 0;
      },
    ],
    [
      'token differences',
      (i) => (noiseHigh(noiseKey(3, 8), i) - noiseHigh(noiseKey(3, 8), i + 1)) >>> 0,
    ],
    [
      'seed differences',
      (i) => (noiseHigh(noiseKey(i, 8), 1) ^ noiseHigh(noiseKey(i + 1, 8), 1)) >>> 0,
    ],
  ];
  for (const [name, draw] of draws) {
    for (const shift of [24, 12, 0]) {
      const observed = new Int32Array(cells);
      for (let i = 0; i < 100_000; i++) {
        const cell = (draw(i) >>> shift) & 255;
        observed[cell] = (observed[cell] as number) + 1;
      }
      const deviate = chiSquareDeviate(observed, even);
      assert.ok(Math.abs(deviate) < 4.5, `${name}, bits from ${shift}: ${deviate}`);
    }
  }
});

test('the noise is Gumbel distributed: its mean, variance and tail', () => {
  let sum = 0;
  let squares = 0;
  let tail = 0;
  const draws = 400_000;
  for (let i = 0; i < draws; i++) {
    const noise = gumbel(noiseKey(11, i >> 8), i & 255);
    sum += noise;
    squares += noise * noise;
    if (noise > 5) tail += 1;
  }
  const mean = sum / draws;
  assert.ok(Math.abs(mean - 0.5772157) < 0.008, `mean ${mean}`);
  const variance = squares / draws - mean * mean;
  assert.ok(Math.abs(variance - Math.PI ** 2 / 6) < 0.03, `variance ${variance}`);
  const expected = draws * (1 - Math.exp(-Math.exp(-5)));
  assert.ok(Math.abs(tail - expected) < 5 * Math.sqrt(expected), `tail ${tail} of ${expected}`);
});

test('the rejection bound never passes over a word whose noise is large enough', () => {
  const random = new Random(3);
  const key = noiseKey(5, 5);
  let rejected = 0;
  for (let i = 0; i < 200_000; i++) {
    const needed = random.uniform() * 48 - 8;
    const bound = rejectionBound(needed);
    // Words just below the bound are the dangerous ones.
    const high = Math.max(0, Math.min(0xffffffff, bound - 1 - random.below(i % 2 ? 4 : 2 ** 31)));
    if (high >= bound) continue;
    rejected += 1;
    assert.ok(gumbelFromHigh(key, high) < needed, `needed ${needed}, word ${high}`);
  }
  assert.ok(rejected > 100_000);
  assert.equal(rejectionBound(Number.NEGATIVE_INFINITY), 0);
  assert.equal(rejectionBound(40), 0x100000000);
});
