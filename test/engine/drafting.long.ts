/** The promises of drafting on the other families, and on those whose attention, state or head is of another kind. */
import type { RandomModelOptions } from '../../src/synthetic/random-model.js';
import { deepseek4, draftingFor, dspark } from './drafting-target.js';

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

/** Other seeds, and layouts, of drafters that link their guesses. */
const linked = { kinds: ['dflash'] } as const;
for (const seed of [4, 5]) {
  draftingFor(
    `deepseek4, with dspark, seed ${seed}`,
    { ...deepseek4, seed },
    { ...linked, dflash: { ...dspark, seed } },
  );
  draftingFor(
    `qwen35, with dspark whose first row is not read, seed ${seed}`,
    { architecture: 'qwen35', tied: false, seed },
    {
      ...linked,
      dflash: { seed, markov: { rank: 8, confidence: true }, sampleFromAnchor: false, sinks: true },
    },
  );
  draftingFor(
    `qwen3, with dflash2, seed ${seed}`,
    { architecture: 'qwen3', tied: false, seed },
    { ...linked, dflash: { seed, selector: { rank: 8, most: 331, taps: 2, group: 16 } } },
  );
}
draftingFor(
  'qwen3, with dspark',
  { architecture: 'qwen3', tied: false, seed: 2 },
  { dflash: { markov: { rank: 8 } }, kinds: ['dflash'] },
);
