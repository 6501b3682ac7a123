/** A choice that is called sure stays the same from any logits within the bound, by every filter. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { sampleToken } from '../../src/decode/sampler.js';
import { resolveSampling, type SamplingInput } from '../../src/decode/settings.js';
import { isSure } from '../../src/decode/sure.js';
import { Random } from './support.js';

const vocabulary = 96;

const inputs: readonly (readonly [string, SamplingInput])[] = [
  ['greedy', { temperature: 0 }],
  ['top-k 1', { temperature: 0.8, topK: 1 }],
  ['top-k', { temperature: 0.9, topK: 5, topP: 1, minP: 0 }],
  ['top-p', { temperature: 1.1, topK: 0, topP: 0.8, minP: 0 }],
  ['min-p', { temperature: 0.7, topK: 0, topP: 1, minP: 0.1 }],
  ['all filters', { temperature: 0.8, topK: 20, topP: 0.9, minP: 0.05 }],
  ['no filter', { temperature: 1, topK: 0, topP: 1, minP: 0 }],
  ['penalties', { temperature: 0.8, repetitionPenalty: 1.4, presencePenalty: 0.3 }],
  ['bias', { temperature: 0.6, logitBias: { 3: 2, 5: Number.NEGATIVE_INFINITY } }],
];

describe('isSure', () => {
  for (const [name, input] of inputs) {
    it(`is not wrong with ${name}`, () => {
      const random = new Random(5);
      const bound = 0.05;
      let sure = 0;
      let flips = 0;
      for (let round = 0; round < 300; round++) {
        const settings = resolveSampling({ ...input, seed: round }, { vocabularySize: vocabulary });
        const row = Float32Array.from({ length: vocabulary }, () => 4 * random.normal());
        const context = { position: round, history: [1, 2, 3, 3, 9], settings };
        const { token } = sampleToken(row, context);
        const told = isSure(row, context, bound);
        if (told) sure++;
        for (let turn = 0; turn < 40; turn++) {
          // At the bound itself as often as within it.
          const off = () =>
            turn % 2 === 0 ? Math.sign(random.uniform() - 0.5) : 2 * random.uniform() - 1;
          const other = row.map((logit) => logit + 0.999 * bound * off());
          if (sampleToken(other, context).token === token) continue;
          flips++;
          assert.equal(told, false, `round ${round}: ${token} flips`);
        }
      }
      assert.ok(sure > 60, `sure of ${sure} of 300`);
      assert.ok(flips > 0, 'nothing flips, so nothing was tested');
    });
  }

  it('is sure of everything where logits are not off at all', () => {
    const settings = resolveSampling({ temperature: 0, seed: 1 }, { vocabularySize: 2 });
    const context = { position: 0, history: [], settings };
    assert.ok(isSure(Float32Array.of(1, 1), context, 0));
    assert.ok(!isSure(Float32Array.of(1, 1), context, 1e-6));
  });
});
