import { test } from 'node:test';
import { mixNames } from '../../src/convert/mixes.js';
import { GgmlType } from '../../src/ggml/types.js';
import type { RandomModelOptions } from '../../src/synthetic/random-model.js';
import { compareWithLibllama, madeUpImportance, randomModelFile } from './quantize-support.js';

const sizes = { embedding: 256, headDim: 32, inner: 256 } as const;
/** Searching codebooks takes long, so that only the smallest model has their types. */
const models: Readonly<Record<string, RandomModelOptions & { readonly codebooks?: boolean }>> = {
  small: {
    architecture: 'llama',
    layers: 1,
    tied: false,
    heads: 8,
    kvHeads: 2,
    codebooks: true,
    ...sizes,
  },
  dense: { architecture: 'llama', layers: 8, tied: false, heads: 8, kvHeads: 2, ...sizes },
  'of eight experts': { architecture: 'llama', layers: 1, experts: [8, 2], ...sizes },
  'of four experts': { architecture: 'qwen3moe', layers: 2, experts: [4, 2], ...sizes },
  'in F16': { architecture: 'gemma3', layers: 2, type: GgmlType.F16, ...sizes },
};
/** Their types need weights for the columns. */
const needy = new Set([
  'IQ1_S',
  'IQ1_M',
  'IQ2_XXS',
  'IQ2_XS',
  'IQ2_S',
  'IQ2_M',
  'IQ3_XXS',
  'IQ3_XS',
  'Q2_K_S',
]);

for (const [name, { codebooks = false, ...options }] of Object.entries(models)) {
  for (const weighted of [false, true]) {
    test(`all mixes of a model ${name}, ${weighted ? 'with' : 'without'} importance`, async () => {
      const model = await randomModelFile(options);
      const importance = weighted ? await madeUpImportance(model) : undefined;
      for (const mix of mixNames) {
        if (mix === 'DS4' || (!weighted && needy.has(mix))) continue;
        if (/^IQ[123]/.test(mix) && !codebooks) continue;
        await compareWithLibllama(model, mix, importance && { importance });
      }
    });
  }
}
