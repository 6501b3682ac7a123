/** Texts on models of kinds of state that differ most, where our own kernels compute; `.long.ts` has the others. */
import { type StateKind, stateKindSuite } from './state-kind-suite.js';

const kinds: Readonly<Record<string, StateKind>> = {
  rows: { architecture: 'llama', layers: 2 },
  'a window and sinks': {
    architecture: 'gpt-oss',
    ...{ layers: 2, window: [16, 2], experts: [4, 2], kvType: 'f32' },
  },
  'one that does not grow': { architecture: 'qwen35', tied: false },
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
