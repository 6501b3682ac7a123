/** Recommended sampling: what llama.cpp's keys mean here, and what is left out. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { defaultModelPath } from '../../src/base/paths.js';
import { readGguf } from '../../src/gguf/reader.js';
import { recommendedSampling } from '../../src/gguf/sampling.js';
import type { GgufMetadataEntry } from '../../src/gguf/types.js';
import { ggufValue } from '../../src/gguf/values.js';
import { randomNumbers } from '../tokenizer/random-text.js';
import { everyValue } from './support.js';

const { float32, float64, int32, string } = ggufValue;
const read = (entries: Readonly<Record<string, GgufMetadataEntry>>) =>
  recommendedSampling({
    metadata: new Map(
      Object.entries(entries).map(([key, entry]) => [`general.sampling.${key}`, entry]),
    ),
  });

describe('recommended sampling', () => {
  test('nothing is recommended by most files', () => {
    assert.deepEqual(read({}), { settings: {}, warnings: [] });
  });

  test('every key, in the types that converters write', () => {
    const { settings, warnings } = read({
      temp: float32(0.6),
      top_k: int32(20),
      top_p: float32(0.95),
      min_p: float32(0.1),
      penalty_repeat: float32(1.05),
      penalty_last_n: int32(-1),
    });
    assert.deepEqual(warnings, []);
    assert.deepEqual(settings, {
      ...{ temperature: 0.6, topK: 20, topP: 0.95, minP: 0.1 },
      ...{ repetitionPenalty: 1.05, penaltyWindow: -1 },
    });
  });

  test('numbers are taken in any width', () => {
    const { settings } = read({ temp: int32(1), top_p: float64(0.9), top_k: ggufValue.uint64(5) });
    assert.deepEqual(settings, { temperature: 1, topP: 0.9, topK: 5 });
  });

  test('a top-k below 0 is off, as in llama.cpp', () => {
    assert.deepEqual(read({ top_k: int32(-1) }), { settings: { topK: 0 }, warnings: [] });
  });

  for (const [key, entry] of [
    ['temp', float32(-0.5)],
    ['temp', float32(Number.NaN)],
    ['temp', float32(Number.POSITIVE_INFINITY)],
    ['temp', string('0.7')],
    ['top_k', float32(0.5)],
    ['top_p', float32(1.5)],
    ['min_p', float32(-1)],
    ['penalty_repeat', float32(0)],
    ['penalty_repeat', ggufValue.boolean(true)],
    ['penalty_last_n', int32(-2)],
    ['top_k', ggufValue.numbers('int32', [1, 2])],
  ] as const) {
    test(`${key} = ${String(entry.value)} is left out with a warning`, () => {
      const { settings, warnings } = read({ [key]: entry, min_p: entry });
      assert.equal(warnings.filter((warning) => warning.includes(`.${key} `)).length, 1);
      assert.ok(Object.keys(settings).every((name) => name === 'minP'));
    });
  }

  test('a sequence turns off what it leaves out', () => {
    const { settings, warnings } = read({
      sequence: string('penalties;top-k;temp'),
      ...{ temp: float32(0.7), top_p: float32(0.9), penalty_repeat: float32(1.1) },
    });
    assert.deepEqual(warnings, []);
    assert.deepEqual(settings, { temperature: 0.7, topP: 1, minP: 0, repetitionPenalty: 1.1 });
  });

  test('what does not exist here is said', () => {
    assert.match(read({ xtc_probability: float32(0.5) }).warnings.join(), /XTC/);
    const off = { xtc_probability: float32(0.5), xtc_threshold: float32(0.6) };
    assert.deepEqual(read(off).warnings, []);
    assert.match(read({ mirostat: int32(2) }).warnings.join(), /Mirostat/);
    assert.match(read({ sequence: string('topk;magic') }).warnings.join(), /steps magic/);
    assert.match(read({ sequence: string('min_p;topk') }).warnings.join(), /order min_p, top_k/);
    assert.deepEqual(read({ sequence: string('dry;typical') }).settings, {});
  });

  test('the embedded model recommends what keeps it from looping', async () => {
    await using file = await readGguf(defaultModelPath());
    assert.deepEqual(recommendedSampling(file), {
      settings: { temperature: 0.8 },
      warnings: [],
    });
  });

  test('any values under these keys give settings in range, and never throw', () => {
    const random = randomNumbers(9);
    const keys = [
      'temp',
      'top_k',
      'top_p',
      'min_p',
      'penalty_repeat',
      'penalty_last_n',
      'sequence',
    ];
    const values = [...everyValue.map(([, entry]) => entry), string('a;;\ud800;top_p')];
    for (let count = 0; count < 5000; count++) {
      const entries = Object.fromEntries(
        keys.map((key) => {
          const entry = values[Math.floor(random() * values.length)] as GgufMetadataEntry;
          return [key, random() < 0.5 ? entry : float64((random() - 0.3) * 10 ** (random() * 12))];
        }),
      );
      const { settings } = read(entries);
      const { temperature = 1, topK = 0, topP = 1, minP = 0, repetitionPenalty = 1 } = settings;
      assert.ok(temperature >= 0 && temperature <= 1e6);
      assert.ok(Number.isInteger(topK) && topK >= 0);
      assert.ok(topP >= 0 && topP <= 1 && minP >= 0 && minP <= 1);
      assert.ok(repetitionPenalty > 0 && repetitionPenalty <= 1e6);
      assert.ok((settings.penaltyWindow ?? 0) >= -1);
    }
  });
});
