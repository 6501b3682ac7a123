/** The choice from the largest logits is that of the whole row, or none, whatever is equal. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type SampleContext, sampleToken } from '../../src/decode/sampler.js';
import { resolveSampling, type SamplingInput } from '../../src/decode/settings.js';
import { isSure } from '../../src/decode/sure.js';
import { isTopSure, sampleTop, topNeeded } from '../../src/decode/top-choice.js';
import { TopRow, topCount } from '../../src/decode/top-row.js';
import { Random } from './support.js';

const vocabulary = 300;
const history = [1, 2, 3, 3, 9, 250, 17, 17, 17];

const inputs: readonly (readonly [string, SamplingInput])[] = [
  ['greedy', { temperature: 0 }],
  ['top-k 1', { temperature: 0.8, topK: 1 }],
  ['top-k', { temperature: 0.9, topK: 5, topP: 1, minP: 0 }],
  ['all filters', { temperature: 0.8, topK: 40, topP: 0.9, minP: 0.05 }],
  ['hot', { temperature: 4, topK: 40, topP: 0.95, minP: 0.01 }],
  ['greedy penalties', { temperature: 0, repetitionPenalty: 1.6, frequencyPenalty: 0.5 }],
  ['penalties', { temperature: 0.8, topK: 20, repetitionPenalty: 1.4, presencePenalty: 0.3 }],
  ['bans', { temperature: 0.6, topK: 10, logitBias: { 3: -2, 5: Number.NEGATIVE_INFINITY } }],
];

/** The largest of a row, of equal ones any: as devices take them. */
function largest(row: Float32Array, count: number, random: Random): TopRow {
  const order = Array.from(row, (_, token) => ({ token, lot: random.uniform() }));
  order.sort((a, b) => (row[b.token] as number) - (row[a.token] as number) || a.lot - b.lot);
  const tokens = order.slice(0, count).map(({ token }) => token);
  return new TopRow({
    tokens,
    logits: tokens.map((token) => row[token] as number),
    more: count < row.length,
    whole: () => row,
  });
}

/** Rows with many equal logits in every second round. */
function rowOf(round: number, random: Random): Float32Array {
  const spread = 1 + (round % 5);
  return Float32Array.from({ length: vocabulary }, () => {
    const logit = spread * random.normal();
    return round % 2 === 0 ? logit : Math.round(2 * logit) / 2;
  });
}

describe('choosing from the largest logits', () => {
  for (const [name, input] of inputs) {
    it(`gives the choice of the whole row, and whether it is sure: ${name}`, () => {
      const random = new Random(11);
      let [told, untold, sure] = [0, 0, 0];
      for (let round = 0; round < 600; round++) {
        const settings = resolveSampling({ ...input, seed: round }, { vocabularySize: vocabulary });
        const needed = topNeeded(settings);
        assert.ok(needed !== undefined);
        const row = rowOf(round, random);
        const context: SampleContext = { position: round, history, settings };
        // With what is asked for, and with fewer, where ties and penalties matter.
        const least = (settings.temperature === 0 ? 1 : settings.topK) + 1;
        const count = round % 3 === 0 ? least : topCount(needed);
        const top = largest(row, count, random);
        const token = sampleTop(top, context);
        const expected = sampleToken(row, context).token;
        if (token === undefined) untold++;
        else {
          told++;
          assert.equal(token, expected, `round ${round}`);
        }
        const found = isTopSure(top, context, 0.02);
        if (found === undefined) continue;
        assert.equal(found, isSure(row, context, 0.02), `round ${round}`);
        if (found) sure++;
      }
      assert.ok(told > 200 && untold > 10, `${told} told, ${untold} not`);
      assert.ok(sure > 30, `${sure} sure`);
    });
  }

  it('leaves it to the whole row where others may come up', () => {
    const needed = (input: SamplingInput) =>
      topNeeded(resolveSampling({ ...input, seed: 1 }, { vocabularySize: vocabulary }));
    assert.equal(needed({ temperature: 1, topK: 0 }), undefined);
    assert.equal(needed({ temperature: 0, logprobs: 1 }), undefined);
    assert.equal(needed({ temperature: 0, logitBias: { 7: 0.5 } }), undefined);
    assert.equal(needed({ temperature: 0, repetitionPenalty: 0.9 }), undefined);
    assert.equal(needed({ temperature: 0, presencePenalty: -1 }), undefined);
    assert.equal(needed({ temperature: 0 }), 2);
    assert.equal(needed({ temperature: 0, presencePenalty: -1, penaltyWindow: 0 }), 2);
  });

  it('leaves it to the whole row where a constraint chooses', () => {
    const settings = resolveSampling({ temperature: 0, seed: 1 }, { vocabularySize: vocabulary });
    const top = largest(rowOf(0, new Random(2)), 8, new Random(3));
    const mask = new Uint32Array(Math.ceil(vocabulary / 32)).fill(0xffffffff);
    assert.equal(sampleTop(top, { position: 0, history, settings, mask }), undefined);
    assert.notEqual(sampleTop(top, { position: 0, history, settings }), undefined);
  });
});
