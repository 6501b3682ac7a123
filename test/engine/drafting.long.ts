/** The promises of drafting on the other families, and on those whose attention, state or head is of another kind. */
import type { RandomModelOptions } from '../../src/synthetic/random-model.js';
import { draftingFor } from './drafting-target.js';

const targets: readonly RandomModelOptions[] = [
  { architecture: 'qwen3', tied: false },
  { architecture: 'olmoe', experts: [4, 2] },
  { architecture: 'gemma3', window: [8, 2] },
  { architecture: 'llama' },
  { architecture: 'qwen2' },
  { architecture: 'qwen3moe', experts: [4, 2] },
  { architecture: 'qwen35', tied: false },
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

/** With experts. */
draftingFor('gemma4, as 26B-A4B', {
  ...{ architecture: 'gemma4', kvHeads: 2, window: [8, 2], experts: [4, 2] },
  gemma4: { perLayer: 0, rawValues: true, fullKvHeads: 1, expertInner: 32, together: true },
});
