/** Texts on one model of every kind of state, where our own kernels compute. */
import { type StateKind, stateKindSuite } from './state-kind-suite.js';

const kinds: Readonly<Record<string, StateKind>> = {
  rows: { architecture: 'llama', layers: 2 },
  'a window': { architecture: 'gemma3', window: [24, 2] },
  'a window of integers': { architecture: 'gemma3', window: [100, 3], kvType: 'i16' },
  'a window of bytes': { architecture: 'gemma2', window: [40, 2], kvType: 'q8_0' },
  'a window and sinks': {
    architecture: 'gpt-oss',
    ...{ layers: 2, window: [16, 2], experts: [4, 2], kvType: 'f32' },
  },
  'a window whose rows are shared': {
    architecture: 'gemma4',
    ...{ layers: 6, window: [33, 3], gemma4: { perLayer: 32, shared: 3 } },
  },
  'one that does not grow': { architecture: 'qwen35', tied: false },
  'the inputs of a convolution': { architecture: 'lfm2', tied: false },
  'latent rows': {
    architecture: 'deepseek2',
    ...{ layers: 2, experts: [4, 2], latent: { kv: 64, query: 96, rotated: 32 } },
  },
  'rows of blocks': {
    architecture: 'deepseek4',
    ...{ layers: 3, experts: [4, 2], headDim: 32, inner: 32 },
    deepseek4: {
      ...{ queryRank: 32, rotated: 8, window: 20, ratios: [4, 128, 0], outputGroups: 1 },
      ...{ index: { heads: 2, keyLength: 16, most: 8 }, outputRank: 32, hashed: 1, limit: 2 },
    },
  },
};

for (const [name, kind] of Object.entries(kinds)) stateKindSuite(name, kind);
