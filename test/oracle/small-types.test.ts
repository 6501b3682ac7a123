/** Types of few bits without a codebook, and the mix of DS4 in a mixture of experts, against libllama. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { quantizeModel } from '../../src/convert/quantize.js';
import { GgmlType, typeName } from '../../src/ggml/types.js';
import { readGguf } from '../../src/gguf/reader.js';
import { madeUpImportance, randomModelFile } from '../convert/quantize-support.js';
import { temporaryFile } from '../support/tiny-model.js';
import { shapes } from './shapes.js';
import { describeTypes, expertDistance } from './suite.js';

const { NVFP4, Q1_0, Q2_0, Q2_K, TQ1_0, TQ2_0 } = GgmlType;
describeTypes([NVFP4, Q1_0, Q2_0, Q2_K, TQ1_0, TQ2_0], 'qwen3');

it('experts in IQ2_XXS and Q2_K give the logits of libllama', async (t) => {
  const options = { vocab: 334, seed: 5, ...shapes.qwen3moe?.[2], architecture: 'qwen3moe' };
  const model = await randomModelFile(options);
  const output = temporaryFile('ds4-mix.gguf');
  const { path: imatrix } = await madeUpImportance(model);
  await quantizeModel({ model, output, mix: 'DS4', imatrix });
  await using file = await readGguf(output);
  const types = ['gate', 'up', 'down'].map((part) => {
    const info = file.tensors.get(`blk.0.ffn_${part}_exps.weight`);
    return info && typeName(info.type);
  });
  assert.deepEqual(types, ['IQ2_XXS', 'IQ2_XXS', 'Q2_K']);
  const worst = await expertDistance(output);
  t.diagnostic(`worst difference ${worst.toExponential(1)} of the range`);
  assert.ok(worst < 2e-2, `${worst} of the range`);
});
