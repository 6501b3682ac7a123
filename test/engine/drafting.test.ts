/** The promises of drafting on small random models, with random draft models; `drafting.long.ts` has more. */
import type { RandomModelOptions } from '../../src/synthetic/random-model.js';
import { deepseek4, draftingFor, dspark } from './drafting-target.js';

/** Gemma 4 as E2B, whose last layers read the rows of others. */
const gemma4 = {
  'gemma4, as E2B': {
    ...{ architecture: 'gemma4', layers: 4, kvHeads: 1, window: [8, 2] },
    gemma4: { windowHeadDim: 16, perLayer: 16, shared: 2 },
  },
} as const satisfies Record<string, RandomModelOptions>;

const targets = [
  { architecture: 'qwen35moe', experts: [4, 2] },
] as const satisfies readonly RandomModelOptions[];

const cases: readonly (readonly [string, RandomModelOptions])[] = [
  ...targets.map((target) => [target.architecture, target] as const),
  ...Object.entries(gemma4),
];

for (const [title, target] of cases) draftingFor(title, target);

draftingFor('deepseek4, with dspark', deepseek4, { dflash: dspark });
draftingFor(
  'gemma3, with dflash2',
  { architecture: 'gemma3', window: [8, 2], seed: 3 },
  { dflash: { selector: { rank: 8, most: 331, taps: 2, group: 16 } }, kinds: ['dflash'] },
);
