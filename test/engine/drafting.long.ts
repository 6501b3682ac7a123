/** The promises of drafting on the families whose attention, state or head is of another kind. */
import type { RandomModelOptions } from '../../src/synthetic/random-model.js';
import { draftingFor } from './drafting-target.js';

const targets: readonly RandomModelOptions[] = [
  { architecture: 'gpt-oss', window: [16, 2], experts: [4, 2] },
  { architecture: 'deepseek2', experts: [4, 2], latent: { kv: 64, query: 96, rotated: 32 } },
  { architecture: 'lfm2', kvHeads: 2 },
  { architecture: 'gemma2', window: [40, 2] },
  { architecture: 'glm4', kvHeads: 2 },
  { architecture: 'glm4moe', kvHeads: 2, experts: [4, 2] },
  { architecture: 'phi3', kvHeads: 2 },
  { architecture: 'smollm3', kvHeads: 2 },
  { architecture: 'olmo2', kvHeads: 2 },
  { architecture: 'granite', kvHeads: 2 },
  { architecture: 'mistral3', kvHeads: 2 },
];

for (const target of targets) draftingFor(target.architecture, target);
