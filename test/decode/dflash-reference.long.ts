/** More combinations of what files of block drafters have, and other seeds, against the references. */
import { describe, it } from 'node:test';
import { dflashCase, gemma, hybrid, some } from './dflash-cases.js';

describe('layers of other families against the reference', () => {
  for (const activation of ['silu', 'gelu', 'gelu_pytorch_tanh'] as const) {
    it(`with ${activation}`, () => dflashCase({ activation }));
  }
  it('with sinks', () => dflashCase({ sinks: true }));
  it('with sinks in a causal block and sliding windows', () =>
    dflashCase({ sinks: true, causal: true, sliding: [4, [true, false]] }));
  it('with norms behind the sublayers and a factor behind each layer', () =>
    dflashCase({ postNorms: true, outputScale: true }));
  it('with divided frequencies', () => dflashCase({ divisors: true }));
  it('whose values are its keys before their norm', () => dflashCase({ valuesOfKeys: true }));
  it('with all of it, for gemma4', () =>
    dflashCase({
      ...{ of: gemma, embeddingScale: 8, softcap: 20, activation: 'gelu_pytorch_tanh' },
      ...{ postNorms: true, outputScale: true, divisors: true, valuesOfKeys: true },
    }));
});

describe('dspark against the reference', () => {
  const markov = { rank: 12, confidence: true, confidenceBias: true } as const;
  it('whose first row guesses', () => dflashCase({ markov: { rank: 12 } }));
  it('with a head for confidence', () => dflashCase({ markov: { rank: 12, confidence: true } }));
  it('with a head for confidence and its bias', () => dflashCase({ markov }));
  it('said to guess from the first row', () => dflashCase({ markov, sampleFromAnchor: true }));
  it('whose first row is not read', () => dflashCase({ markov, sampleFromAnchor: false }));
  it('with sliding windows, in a causal block', () =>
    dflashCase({ markov, causal: true, sliding: [4, [true, false]] }));
  it('with scaled and capped logits', () => dflashCase({ markov, logitScale: 0.5, softcap: 3 }));
  it('with a vocabulary of its own', () => dflashCase({ markov, vocabulary: some }));
  it('with a vocabulary of its own, whose first row is not read', () =>
    dflashCase({ markov, vocabulary: some, sampleFromAnchor: false }));
  it('with its own table and head', () => dflashCase({ markov, ownTable: true, ownHead: true }));
  it('with sinks', () => dflashCase({ markov, sinks: true }));
  it('for qwen35', () => dflashCase({ markov, of: hybrid, targetLayers: [1, 3, 2, 4] }));
  it('guessing less than its block has', () => dflashCase({ markov, draftMax: 2 }));
  it('after a prompt that was read in pieces', () => dflashCase({ markov, prefillChunk: 4 }));
  it('looking back on a very small window', () => dflashCase({ markov, lookBack: 4 }));
  for (const seed of [5, 6]) it(`seed ${seed}`, () => dflashCase({ markov, seed }));
});

describe('dflash2 against the reference', () => {
  const selector = { rank: 12, most: 5, taps: 2, group: 16 } as const;
  it('with two taps', () => dflashCase({ selector }));
  it('with groups of one channel and of all', async () => {
    await dflashCase({ selector: { ...selector, group: 1 } });
    await dflashCase({ selector: { ...selector, group: 64 } });
  });
  it('with as many taps as the block has rows', () =>
    dflashCase({ selector: { ...selector, taps: 6 } }));
  it('with one tap, and four candidates', () =>
    dflashCase({ selector: { ...selector, taps: 1, most: 4 } }));
  it('with every token a candidate', () => dflashCase({ selector: { ...selector, most: 331 } }));
  it('with scaled and capped logits', () => dflashCase({ selector, logitScale: 0.5, softcap: 3 }));
  it('with a vocabulary of its own', () => dflashCase({ selector, vocabulary: some }));
  it('with sliding windows', () => dflashCase({ selector, sliding: [5, [true, false]] }));
  it('for gemma4', () => dflashCase({ selector, of: gemma, embeddingScale: 8, softcap: 30 }));
  for (const seed of [5, 6]) it(`seed ${seed}`, () => dflashCase({ selector, seed }));
});
