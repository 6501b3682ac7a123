/**
 * What block drafters guess, against references in double precision, on small random models of the forms that
 * files come in: DFlash, DSpark, DFlash2. `dflash-reference.long.ts` has more of their combinations.
 */
import { describe, it } from 'node:test';
import { dflashCase, gemma, hybrid, some } from './dflash-cases.js';

describe('dflash against the reference', () => {
  it('with full attention', () => dflashCase({}));
  it('for qwen35, with taps behind delta nets, attention and the last layer', () =>
    dflashCase({ of: hybrid, targetLayers: [1, 3, 2, 4] }));
  it('for qwen35 with one tap behind a delta net, after a prompt that was read in pieces', () =>
    dflashCase({ of: hybrid, targetLayers: [2], prefillChunk: 3 }));
  it('for gemma4, whose embeddings are scaled, with taps behind both kinds of layers', () =>
    dflashCase({ of: gemma, targetLayers: [1, 2, 4], embeddingScale: 8 }));
  it('with more layers, and taps in another order, the last layer’s output first', () =>
    dflashCase({ layers: 3, targetLayers: [4, 1, 3, 2], blockSize: 5 }));
  it('with one tap', () => dflashCase({ targetLayers: [3] }));
  it('with sliding windows in some layers', () =>
    dflashCase({ layers: 3, sliding: [5, [true, false, true]] }));
  it('with a causal block', () => dflashCase({ causal: true }));
  it('with a causal block and sliding windows', () =>
    dflashCase({ causal: true, sliding: [4, [true, true]] }));
  it('with attention.causal given as false', () => dflashCase({ causal: false }));
  it('with scaled embeddings', () => dflashCase({ embeddingScale: 8 }));
  it('with scaled and capped logits', () => dflashCase({ logitScale: 0.5, softcap: 3 }));
  it('with its own table and head', () => dflashCase({ ownTable: true, ownHead: true }));
  it('with its own table, which also is the head', () => dflashCase({ ownTable: true }));
  it('with a vocabulary of its own', () => dflashCase({ vocabulary: some }));
  it('guessing less than its block has', () => dflashCase({ draftMax: 2 }));
  it('after a prompt that was read in pieces', () => dflashCase({ prefillChunk: 4 }));
  it('looking back on a window that the text leaves behind', () => dflashCase({ lookBack: 10 }));
  it('looking back on a very small window', () => dflashCase({ lookBack: 4 }));
  it('with a sliding window beyond the one it looks back on', () =>
    dflashCase({ lookBack: 7, sliding: [50, [true, true]] }));
});

describe('layers of other families against the reference', () => {
  it('with sinks', () => dflashCase({ sinks: true }));
  it('with norms behind the sublayers and a factor behind each layer', () =>
    dflashCase({ postNorms: true, outputScale: true }));
  it('with divided frequencies, GELU, and values that are keys before their norm', () =>
    dflashCase({ divisors: true, valuesOfKeys: true, activation: 'gelu' }));
});

describe('dspark against the reference', () => {
  const markov = { rank: 12, confidence: true, confidenceBias: true } as const;
  it('whose first row guesses', () => dflashCase({ markov: { rank: 12 } }));
  it('with a head for confidence', () => dflashCase({ markov: { rank: 12, confidence: true } }));
  it('whose first row is not read, with a head for confidence and its bias', () =>
    dflashCase({ markov, sampleFromAnchor: false }));
  it('with scaled and capped logits', () => dflashCase({ markov, logitScale: 0.5, softcap: 3 }));
  it('with a vocabulary of its own', () => dflashCase({ markov, vocabulary: some }));
  it('for qwen35', () => dflashCase({ markov, of: hybrid, targetLayers: [1, 3, 2, 4] }));
  it('guessing less than its block has, on a very small window', () =>
    dflashCase({ markov, draftMax: 2, lookBack: 4 }));
});

describe('dflash2 against the reference', () => {
  const selector = { rank: 12, most: 5, taps: 2, group: 16 } as const;
  it('with two taps', () => dflashCase({ selector }));
  it('with three taps and groups of one channel', () =>
    dflashCase({ selector: { ...selector, taps: 3, group: 1 } }));
  it('with scaled and capped logits, every token a candidate', () =>
    dflashCase({ selector: { ...selector, most: 331 }, logitScale: 0.5, softcap: 3 }));
  it('with a vocabulary of its own', () => dflashCase({ selector, vocabulary: some }));
});
