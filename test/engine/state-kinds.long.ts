/** Texts on models of the other kinds of state, where our own kernels compute. */
import { type StateKind, stateKindSuite } from './state-kind-suite.js';

const kinds: Readonly<Record<string, StateKind>> = {
  'a window': { architecture: 'gemma3', window: [24, 2] },
  'a window of integers': { architecture: 'gemma3', window: [100, 3], kvType: 'i16' },
  'a window of bytes': { architecture: 'gemma2', window: [40, 2], kvType: 'q8_0' },
  'a window whose rows are shared': {
    architecture: 'gemma4',
    ...{ layers: 6, window: [33, 3], gemma4: { perLayer: 32, shared: 3 } },
  },
  'the inputs of a convolution': { architecture: 'lfm2', tied: false },
  'latent rows': {
    architecture: 'deepseek2',
    ...{ layers: 2, experts: [4, 2], latent: { kv: 64, query: 96, rotated: 32 } },
  },
};

for (const [name, kind] of Object.entries(kinds)) stateKindSuite(name, kind);
