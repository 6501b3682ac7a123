/** Checkpoints in FP8 with a scale for each block: read as the values that they stand for, others refused by name. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { convertCheckpoint } from '../../src/convert/convert.js';
import { GgmlType } from '../../src/ggml/types.js';
import { readGguf } from '../../src/gguf/reader.js';
import { Runner, worstDifference } from '../oracle/runner.js';
import { temporaryFile } from '../support/tiny-model.js';
import { randomCheckpoint } from './checkpoint.js';
import { tokens } from './decoder-cases.js';
import { deepSeek3Config, deepSeekCheckpoint, deepSeekLogits } from './deepseek2-checkpoints.js';
import { codedWeights, quantization_config } from './fp8.js';
import { glm4Checkpoint, glm4Logits, glm4MoeConfig } from './glm4-checkpoints.js';
import { referenceLogits } from './reference.js';
import { type RawTensor, writeCheckpoint } from './written-checkpoint.js';

const config = { ...glm4MoeConfig, num_nextn_predict_layers: 0, quantization_config };

function checkpoint(change: (raw: Map<string, RawTensor | undefined>) => void = () => {}) {
  const { weights } = glm4Checkpoint({ config });
  const { raw, decoded } = codedWeights(weights, /(self_attn|mlp).*_proj\.weight$/);
  change(raw);
  return writeCheckpoint({ config, weights: decoded, raw });
}

async function converted(folder: string, type: string): Promise<string> {
  const output = temporaryFile(`fp8-${Math.random().toString(36).slice(2)}.gguf`);
  await convertCheckpoint({ checkpoint: folder, output, type, threads: 1 });
  return output;
}

test('codes times their blocks’ scales: logits are those of the values', async () => {
  const made = checkpoint();
  using runner = await Runner.open(await converted(made.folder, 'F32'), {
    ...{ cacheType: GgmlType.F32, capacity: 64 },
  });
  const expected = glm4Logits(made, tokens).map((row) => Float32Array.from(row));
  const worst = worstDifference(await runner.decode(tokens), expected);
  assert.ok(worst < 1e-4, String(worst));
});

test('DeepSeek V3 in FP8, whose latent matrix is cut and turned round', async () => {
  const config = { ...deepSeek3Config, num_nextn_predict_layers: 0, quantization_config };
  const { weights } = deepSeekCheckpoint({ config });
  const { raw, decoded } = codedWeights(weights, /(self_attn|mlp).*_proj(_with_mqa)?\.weight$/);
  assert.ok(raw.has('model.layers.2.self_attn.kv_b_proj.weight'));
  const made = writeCheckpoint({ config, weights: decoded, raw });
  using runner = await Runner.open(await converted(made.folder, 'F32'), {
    ...{ cacheType: GgmlType.F32, capacity: 64 },
  });
  const expected = deepSeekLogits(made, tokens).map((row) => Float32Array.from(row));
  const worst = worstDifference(await runner.decode(tokens), expected);
  assert.ok(worst < 1e-4, String(worst));
});

test('Ministral 3, with one scale of a matrix and one for its inputs', async () => {
  const { config, weights } = randomCheckpoint('Ministral3ForCausalLM');
  const projections = /(self_attn|mlp).*_proj\.weight$/;
  const { raw, decoded } = codedWeights(weights, projections, {
    size: Number.POSITIVE_INFINITY,
  });
  for (const name of [...raw.keys()].filter((name) => projections.test(name))) {
    const scale = { dtype: 'F32', shape: [], bytes: new Uint8Array(4) };
    raw.set(name.replace(/weight$/, 'activation_scale'), scale);
  }
  const made = writeCheckpoint({
    config: {
      ...config,
      quantization_config: {
        ...{ quant_method: 'fp8', activation_scheme: 'static', weight_block_size: null },
      },
    },
    ...{ weights: decoded, raw },
  });
  using runner = await Runner.open(await converted(made.folder, 'F32'), {
    ...{ cacheType: GgmlType.F32, capacity: 64 },
  });
  const expected = referenceLogits(made, tokens).map((row) => Float32Array.from(row));
  const worst = worstDifference(await runner.decode(tokens), expected);
  assert.ok(worst < 1e-4, String(worst));
});

test('they are BF16 where no type is asked for', async () => {
  await using file = await readGguf(await converted(checkpoint().folder, 'auto'));
  assert.equal(file.tensors.get('blk.1.ffn_up_exps.weight')?.type, GgmlType.BF16);
  assert.equal(file.tensors.get('blk.1.attn_norm.weight')?.type, GgmlType.F32);
});

test('scales that do not fit, or are missing, and other methods are refused by name', async () => {
  const name = 'model.layers.1.self_attn.o_proj.weight';
  const refused = async (
    change: (raw: Map<string, RawTensor | undefined>) => void,
    expected: { readonly code: string; readonly message: RegExp },
  ) => {
    const { folder } = checkpoint(change);
    const output = temporaryFile(`refused-${Math.random()}.gguf`);
    await assert.rejects(convertCheckpoint({ checkpoint: folder, output }), expected);
  };
  const scales = { dtype: 'F32', shape: [2, 2], bytes: new Uint8Array(16) };
  await refused((raw) => raw.set(`${name}_scale_inv`, scales), {
    code: 'wrong-shape',
    message: /o_proj\.weight_scale_inv .*\[2, 2\], expected \[4, 5\]/,
  });
  await refused((raw) => raw.delete(`${name}_scale_inv`), {
    code: 'unsupported-type',
    message: /o_proj\.weight has elements of type F8_E4M3/,
  });
  for (const quant_method of ['awq', 'mxfp4']) {
    const other = { ...config, quantization_config: { quant_method } };
    const { folder } = writeCheckpoint({ config: other, weights: new Map() });
    const output = temporaryFile(`refused-${Math.random()}.gguf`);
    await assert.rejects(convertCheckpoint({ checkpoint: folder, output }), {
      code: 'unsupported-architecture',
      message: new RegExp(quant_method),
    });
  }
});
