/**
 * Checkpoints of decoders whose tensors need more than other names: converted, their logits are those of a reference in
 * double precision that reads the checkpoint.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PacelineError } from '../../src/base/errors.js';
import { architectures } from '../../src/convert/classes.js';
import { convertCheckpoint } from '../../src/convert/convert.js';
import { loadModel } from '../../src/engine/load.js';
import { RowConverter } from '../../src/ggml/row-converter.js';
import { GgmlType } from '../../src/ggml/types.js';
import { readGguf } from '../../src/gguf/reader.js';
import { supportedArchitectures } from '../../src/models/registry.js';
import { differences, Runner, worstDifference } from '../oracle/runner.js';
import { temporaryFile } from '../support/tiny-model.js';
import { type DecoderCase, decoderCases, tokens } from './decoder-cases.js';
import {
  deepSeek2Config,
  deepSeek3Config,
  deepSeekCheckpoint,
  glmFlashConfig,
} from './deepseek2-checkpoints.js';
import {
  deepSeek4Checkpoint,
  deepSeek4Config,
  deepSeek4Kinds,
  deepSeek4Logits,
  deepSeek4Tables,
  longText,
} from './deepseek4-checkpoints.js';
import { glm4Checkpoint, glm4Config, glm4MoeConfig } from './glm4-checkpoints.js';
import { gptOssCheckpoint, gptOssConfig, gptOssLogits } from './gpt-oss-checkpoints.js';
import {
  qwen35Checkpoint,
  qwen35Config,
  qwen35Logits,
  qwen35MoeConfig,
} from './qwen35-checkpoints.js';
import { writeCheckpoint } from './written-checkpoint.js';

async function converted(folder: string, type = 'F32'): Promise<string> {
  const output = temporaryFile(`decoder-${Math.random().toString(36).slice(2)}.gguf`);
  await convertCheckpoint({ checkpoint: folder, output, type, threads: 1 });
  return output;
}

for (const [name, { make, logits, architecture, text = tokens }] of Object.entries(decoderCases)) {
  test(`${name}: logits are those of the checkpoint in double precision`, async () => {
    const checkpoint = make();
    const path = await converted(checkpoint.folder);
    await using file = await readGguf(path);
    assert.equal(file.string('general.architecture'), architecture);
    using runner = await Runner.open(path, { cacheType: GgmlType.F32, capacity: 192 });
    const expected = logits(checkpoint, text).map((row) => Float32Array.from(row));
    const worst = worstDifference(await runner.decode(text), expected);
    assert.ok(worst < 1e-4, `logits differ by ${worst} of their range`);
  });
}

/** The values of a tensor of a file in F32. */
async function valuesOf(path: string, name: string): Promise<Float32Array> {
  await using file = await readGguf(path);
  const info = file.tensors.get(name);
  assert.ok(info?.type === GgmlType.F32, name);
  const bytes = new Uint8Array(info.bytes);
  await file.readTensor(info, bytes);
  return new Float32Array(bytes.buffer);
}

/** What a conversion is refused with. */
async function refusal(folder: string): Promise<string> {
  const output = temporaryFile(`refused-${Math.random()}.gguf`);
  const error: unknown = await convertCheckpoint({ checkpoint: folder, output }).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  assert.ok(PacelineError.is(error), String(error));
  return `${error.code}: ${error.message}`;
}

test('Qwen3.5 that sees: the text model is taken, with its block of multi-token prediction', async () => {
  const { architectures: _, model_type: __, ...text_config } = qwen35MoeConfig;
  const config = {
    architectures: ['Qwen3_5MoeForConditionalGeneration'],
    model_type: 'qwen3_5_moe',
    text_config: { ...text_config, mtp_num_hidden_layers: 1 },
  };
  const pixels = { dtype: 'F32', shape: [2], bytes: new Uint8Array(8) };
  const raw = new Map([['model.visual.patch_embed.proj.weight', pixels]]);
  const checkpoint = qwen35Checkpoint({ config, drafts: 1, inside: 'language_model.', raw });
  const path = await converted(checkpoint.folder);
  using runner = await Runner.open(path, { cacheType: GgmlType.F32, capacity: 64 });
  const expected = qwen35Logits(checkpoint, tokens).map((row) => Float32Array.from(row));
  const worst = worstDifference(await runner.decode(tokens), expected);
  assert.ok(worst < 1e-4, `logits differ by ${worst} of their range`);

  await using file = await readGguf(path);
  assert.equal(file.integer('qwen35moe.block_count'), 5);
  assert.equal(file.integer('qwen35moe.nextn_predict_layers'), 1);
  const values = (name: string) => checkpoint.weights.get(name)?.values as Float32Array;
  assert.deepEqual(await valuesOf(path, 'blk.4.nextn.eh_proj.weight'), values('mtp.fc.weight'));
  for (const [name, given] of [
    ['nextn.enorm', 'mtp.pre_fc_norm_embedding'],
    ['nextn.hnorm', 'mtp.pre_fc_norm_hidden'],
    ['nextn.shared_head_norm', 'mtp.norm'],
    ['attn_norm', 'mtp.layers.0.input_layernorm'],
  ]) {
    const plusOne = values(`${given}.weight`).map((value) => value + 1);
    assert.deepEqual(await valuesOf(path, `blk.4.${name}.weight`), plusOne, name);
  }
  await using model = await loadModel(path, { threads: 1, contextLength: 64 });
  assert.ok(model.runtime.drafterSources.some(({ name }) => name === 'mtp'));
});

test('GLM-4.5’s block of multi-token prediction is kept where it was saved', async () => {
  const { folder } = glm4Checkpoint({ config: glm4MoeConfig, drafts: true });
  const path = await converted(folder, 'Q8_0');
  await using file = await readGguf(path);
  assert.equal(file.integer('glm4moe.block_count'), 4);
  assert.equal(file.integer('glm4moe.nextn_predict_layers'), 1);
  assert.ok(file.tensors.has('blk.3.nextn.shared_head_head.weight'));
  assert.ok(file.tensors.has('blk.3.ffn_gate_exps.weight'));
  const none = glm4Checkpoint({
    config: { ...glm4MoeConfig, num_nextn_predict_layers: 0 },
    drafts: true,
  });
  assert.match(await refusal(none.folder), /^unsupported-architecture: .*model\.layers\.3\./);
});

test('gpt-oss in MXFP4: experts stay so whatever the type, and mean the same values', async () => {
  const checkpoint = gptOssCheckpoint({ coded: true });
  const expected = gptOssLogits(checkpoint, tokens).map((row) => Float32Array.from(row));
  const [experts, width, inner] = [6, 64, 96];
  for (const [type, matrices] of [
    ['auto', GgmlType.F32],
    ['Q8_0', GgmlType.Q8_0],
  ] as const) {
    const path = await converted(checkpoint.folder, type);
    await using file = await readGguf(path);
    assert.equal(file.tensors.get('blk.1.attn_q.weight')?.type, matrices);
    // MXFP4_MOE beside matrices that are not quantised.
    assert.equal(file.integer('general.file_type'), type === 'auto' ? 38 : 7);
    // The kernels round what they multiply with MXFP4.
    using runner = await Runner.open(path, { cacheType: GgmlType.F32, capacity: 64 });
    const worst = worstDifference(await runner.decode(tokens), expected);
    assert.ok(worst < 0.03, `${type}: logits differ by ${worst} of their range`);
    for (const [name, given, ins, outs, step, first] of [
      ['gate', 'gate_up', width, inner, 2, 0],
      ['up', 'gate_up', width, inner, 2, 1],
      ['down', 'down', inner, width, 1, 0],
    ] as const) {
      const info = file.tensors.get(`blk.1.ffn_${name}_exps.weight`);
      assert.ok(info?.type === GgmlType.MXFP4);
      const source = new Uint8Array(info.bytes);
      await file.readTensor(info, source);
      await using converter = new RowConverter(1);
      const found = await converter.convert({
        ...{ from: info.type, to: GgmlType.F32, rowLength: ins, source },
        ...{ firstRow: 0, matrixRows: outs },
      });
      const all = checkpoint.weights.get(`model.layers.1.mlp.experts.${given}_proj`)?.values;
      const meant = Float32Array.from({ length: experts * outs * ins }, (_, at) => {
        const [row, i] = [Math.floor(at / ins), at % ins];
        const [expert, out] = [Math.floor(row / outs), row % outs];
        return all?.[(expert * ins + i) * outs * step + step * out + first] as number;
      });
      assert.deepEqual(new Float32Array(found.buffer), meant, name);
    }
  }
});

test('DeepSeek V4 as it is released: experts stay MXFP4, FP8 becomes what it stands for', async () => {
  const checkpoint = deepSeek4Checkpoint({ released: true });
  const path = await converted(checkpoint.folder, 'auto');
  await using file = await readGguf(path);
  const typeOf = (name: string) => file.tensors.get(`blk.3.${name}.weight`)?.type;
  assert.equal(typeOf('ffn_gate_exps'), GgmlType.MXFP4);
  assert.equal(typeOf('hc_attn_fn'), GgmlType.F32);
  assert.equal(file.tensors.get('blk.0.ffn_gate_tid2eid.weight')?.type, GgmlType.I32);
  const text = longText.slice(0, 40);
  using runner = await Runner.open(await converted(checkpoint.folder, 'F32'), {
    ...{ cacheType: GgmlType.F32, capacity: 64 },
  });
  const expected = deepSeek4Logits(checkpoint, text).map((row) => Float32Array.from(row));
  // The kernels round what they multiply with MXFP4, which may choose others experts and blocks.
  const all = differences(await runner.decode(text), expected).sort((a, b) => a - b);
  assert.ok((all[20] as number) < 0.03, `logits differ by ${all} of their range`);
});

test('DeepSeek V4 as transformers saves its config is the same model', async () => {
  const { rope_scaling, rope_theta, compress_rope_theta, ...others } = deepSeek4Config;
  const config = {
    ...{ ...others, compress_ratios: undefined, num_hash_layers: undefined },
    ...{ qk_rope_head_dim: undefined, partial_rotary_factor: 0.25 },
    layer_types: deepSeek4Config.compress_ratios
      .slice(0, 4)
      .map((ratio) => deepSeek4Kinds[ratio] as string),
    mlp_layer_types: ['hash_moe', 'moe', 'moe', 'moe'],
    rope_parameters: {
      main: { rope_type: 'default', rope_theta },
      compress: { ...rope_scaling, rope_type: 'yarn', rope_theta: compress_rope_theta },
    },
  };
  const { weights, folder } = deepSeek4Checkpoint({});
  const same = writeCheckpoint({ config, weights, raw: deepSeek4Tables });
  const [a, b] = [await converted(folder), await converted(same.folder)];
  await using one = await readGguf(a);
  await using other = await readGguf(b);
  for (const [key, entry] of one.metadata) {
    if (key === 'general.name' || key.endsWith('compress_ratios')) continue;
    assert.deepEqual(other.metadata.get(key), entry, key);
  }
  assert.deepEqual(other.numberArray('deepseek4.attention.compress_ratios'), [4, 0, 128, 4]);
});

test('GLM-4.7-Flash has GLM’s tokens, and the block for drafts that DeepSeek V3 loses', async () => {
  const { folder } = (decoderCases['glm-4.7-flash'] as DecoderCase).make();
  await using file = await readGguf(await converted(folder));
  assert.equal(file.integer('tokenizer.ggml.eot_token_id'), 318);
  assert.equal(file.integer('deepseek2.nextn_predict_layers'), 1);
  assert.equal(file.integer('deepseek2.expert_gating_func'), 2);
  const kinds = { first_k_dense_replace: undefined, mlp_layer_types: ['dense', 'dense', 'sparse'] };
  const shapes = { ...glmFlashConfig, first_k_dense_replace: 2, num_nextn_predict_layers: 0 };
  const { weights } = deepSeekCheckpoint({ config: shapes });
  const other = writeCheckpoint({ config: { ...shapes, ...kinds }, weights });
  await using saved = await readGguf(await converted(other.folder));
  assert.equal(saved.integer('deepseek2.leading_dense_block_count'), 2);
  const mixed = { ...kinds, mlp_layer_types: ['sparse', 'dense', 'sparse'] };
  const wrong = writeCheckpoint({ config: { ...shapes, ...mixed }, weights });
  assert.match(await refusal(wrong.folder), /^broken-file: .*mlp_layer_types/);
});

test('every architecture that the engine runs can be converted', () => {
  // Nomic's with experts is of the same class as the one without.
  const converts = new Set([...Object.values(architectures), 'nomic-bert-moe']);
  assert.deepEqual(
    supportedArchitectures.filter((name) => !converts.has(name)),
    [],
  );
});

test('GLM’s turns end as its converter has it', async () => {
  const ids = async (config: Readonly<Record<string, unknown>>) => {
    const { folder } = glm4Checkpoint({ config });
    await using file = await readGguf(await converted(folder));
    return ['bos', 'eot', 'unknown'].map((key) => file.integer(`tokenizer.ggml.${key}_token_id`));
  };
  assert.deepEqual(await ids(glm4Config), [314, 318, 316]);
  assert.deepEqual(await ids(glm4MoeConfig), [314, 318, 316]);
});

test('what is not known or does not fit is refused by name', async () => {
  const qwen35 = (changes: object) =>
    refusal(qwen35Checkpoint({ config: { ...qwen35Config, ...changes } }).folder);
  const glm4 = (changes: object) =>
    refusal(glm4Checkpoint({ config: { ...glm4Config, ...changes } }).folder);
  assert.match(
    await qwen35({ hidden_act: 'gelu' }),
    /^unsupported-architecture: .*hidden_act "gelu"/,
  );
  assert.match(await qwen35({ linear_num_key_heads: 4 }), /^broken-file: .*linear_num_value_heads/);
  assert.match(await qwen35({ linear_value_head_dim: 8 }), /^unsupported-architecture: .*lengths/);
  assert.match(
    await qwen35({ layer_types: Array(4).fill('sliding_attention') }),
    /^broken-file: .*layer_types/,
  );
  const rope_parameters = { rope_type: 'default', mrope_section: [8, 12, 12] };
  const endless = writeCheckpoint({
    config: { ...qwen35Config, num_hidden_layers: 2 ** 31 - 1 },
    weights: qwen35Checkpoint().weights,
  });
  assert.match(await refusal(endless.folder), /^broken-file: .*num_hidden_layers is 2147483647/);
  const drafts = { ...glm4MoeConfig, num_nextn_predict_layers: 2 ** 31 - 1 };
  assert.match(
    await refusal(glm4Checkpoint({ config: drafts }).folder),
    /^broken-file: .*num_nextn_predict_layers is 2147483647/,
  );
  const one = { dtype: 'F32', shape: [1], bytes: new Uint8Array(4) };
  const far = new Map([['mtp.layers.4000000000.input_layernorm.weight', one]]);
  assert.match(
    await refusal(qwen35Checkpoint({ raw: far }).folder),
    /^unsupported-architecture: .*mtp\.layers\.4000000000/,
  );
  const gptOss = (changes: object) =>
    refusal(gptOssCheckpoint({ config: { ...gptOssConfig, ...changes } }).folder);
  assert.match(await gptOss({ swiglu_limit: 5 }), /^unsupported-architecture: .*swiglu_limit 5/);
  const layer_types = Array(3).fill('full_attention');
  assert.match(await gptOss({ layer_types }), /^unsupported-architecture: .*windows/);
  const deepSeek = (config: object, changes: object) =>
    refusal(deepSeekCheckpoint({ config: { ...config, ...changes } }).folder);
  const groups = { n_group: 4, topk_group: 2, topk_method: 'group_limited_greedy' };
  assert.match(
    await deepSeek(deepSeek2Config, groups),
    /^unsupported-architecture: .*group_limited/,
  );
  const { rope_scaling } = deepSeek3Config;
  const uneven = { rope_scaling: { ...rope_scaling, mscale: 1 } };
  assert.match(
    await deepSeek(deepSeek3Config, uneven),
    /^unsupported-architecture: .*mscale 1 beside/,
  );
  assert.match(
    await deepSeek(deepSeek3Config, { rope_interleave: false }),
    /^unsupported-architecture: .*rope_interleave false/,
  );
  const deepSeek4 = (changes: object) =>
    refusal(deepSeek4Checkpoint({ config: { ...deepSeek4Config, ...changes } }).folder);
  const { compress_ratios } = deepSeek4Config;
  const fewer = { compress_ratios: compress_ratios.slice(0, 3) };
  assert.match(await deepSeek4(fewer), /^broken-file: .*compress_ratios/);
  assert.match(
    await deepSeek4({ scoring_func: 'softmax' }),
    /^unsupported-architecture: .*softmax/,
  );
  assert.match(await glm4({ rope_parameters }), /^unsupported-architecture: .*sections/);
  const { weights } = glm4Checkpoint();
  const deeper = writeCheckpoint({ config: { ...glm4Config, num_hidden_layers: 4 }, weights });
  assert.match(await refusal(deeper.folder), /^missing-tensor: .*blk\.3\./);
});
