/**
 * DeepSeek V4's DSpark drafter against the reference in double precision: its layers are the model's own, it reads means
 * of the target's streams, and the target may be of another family.
 */
import { describe, it } from 'node:test';
import { randomModel } from '../../src/synthetic/random-model.js';
import { deepseek4DflashAnswer, deepseek4Rows } from './deepseek4-reference.js';
import { type DflashCase, dflashCase, type Target } from './dflash-cases.js';
import { tolerance } from './neural-support.js';

const sizes = {
  ...{ layers: 4, embedding: 64, heads: 4, headDim: 24, inner: 20, vocab: 331 },
  experts: [6, 2],
  deepseek4: {
    ...{ queryRank: 20, rotated: 8, window: 12, ratios: [4, 128, 0, 4], outputGroups: 2 },
    ...{ index: { heads: 3, keyLength: 16, most: 5 }, outputRank: 10, hashed: 2, limit: 0.7 },
  },
} as const;
const model = { ...sizes, architecture: 'deepseek4', seed: 3 } as const;
const content = randomModel(model);
const deepseek4: Target = {
  model,
  rows: (tensors, tokens) => {
    const { taps } = deepseek4Rows(content, tensors, sizes, tokens);
    return { streams: taps, hidden: [] };
  },
};

/** The drafter of that model; it has no tables for experts, and no rows for blocks of positions. */
const form = { ...sizes.deepseek4, hashed: 0, ratios: [0] } as const;
const drafter: DflashCase = {
  ...{ blocksOf: 'deepseek4', layers: 3, headDim: 24, inner: 20, experts: [6, 2] },
  ...{ deepseek4: form, markov: { rank: 12, confidence: true }, off: 2 * tolerance },
  answer: (input, o, guesses) =>
    deepseek4DflashAnswer(input, { ...sizes, layers: o.layers, deepseek4: form }, o, guesses),
};

describe('deepseek4’s dspark drafter against the reference', () => {
  it('for deepseek4', () => dflashCase({ ...drafter, of: deepseek4 }));
  it('whose first row is not read, with a bias of confidence', () =>
    dflashCase({
      ...{ ...drafter, of: deepseek4, sampleFromAnchor: false },
      markov: { rank: 12, confidence: true, confidenceBias: true },
    }));
  it('without links between its guesses', () => {
    const { markov: _, ...unlinked } = drafter;
    return dflashCase({ ...unlinked, of: deepseek4 });
  });
  it('with a causal block, on less than its window, after a prompt in pieces', () =>
    dflashCase({ ...drafter, of: deepseek4, causal: true, lookBack: 7, prefillChunk: 4 }));
  it('with its own table and head', () =>
    dflashCase({ ...drafter, of: deepseek4, ownTable: true, ownHead: true }));
  it('for a model of another family', () => dflashCase(drafter));
});

describe('dspark and dflash with usual layers, for deepseek4', () => {
  it('dspark', () => dflashCase({ of: deepseek4, markov: { rank: 12, confidence: true } }));
  it('dflash', () => dflashCase({ of: deepseek4, targetLayers: [4, 1, 3] }));
});
