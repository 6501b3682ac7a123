import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { test } from 'node:test';
import { PacelineError } from '../../src/base/errors.js';
import { mixByName } from '../../src/convert/mixes.js';
import { quantizeModel } from '../../src/convert/quantize.js';
import { chooseTypes, type TensorFacts } from '../../src/convert/tensor-types.js';
import { GgmlType, typeName } from '../../src/ggml/types.js';
import { readGguf } from '../../src/gguf/reader.js';
import type { RandomModelOptions } from '../../src/synthetic/random-model.js';
import { temporaryFile } from '../support/tiny-model.js';
import { compareWithLibllama, madeUpImportance, randomModelFile } from './quantize-support.js';

/** Eight layers, so that rules about eighths of the layers apply; small, so that it is quick. */
const dense: RandomModelOptions = {
  architecture: 'llama',
  layers: 8,
  tied: false,
  heads: 4,
  kvHeads: 1,
  headDim: 64,
  inner: 256,
  embedding: 256,
};
const small: RandomModelOptions = { ...dense, layers: 1, headDim: 16 };

test('the bytes are libllama’s, for the types that are quick to make', async () => {
  const model = await randomModelFile(dense);
  for (const mix of ['Q4_0', 'Q5_1', 'Q8_0', 'TQ1_0', 'F16', 'BF16', 'F32', 'Q6_K'] as const) {
    await compareWithLibllama(model, mix);
  }
});

test('the mixes of K types are libllama’s', async () => {
  const model = await randomModelFile({ ...dense, headDim: 32, kvHeads: 2 });
  for (const mix of ['Q2_K', 'Q3_K_M', 'Q4_K_M', 'Q4_K_S', 'Q5_K_M'] as const) {
    await compareWithLibllama(model, mix);
  }
});

test('an importance matrix leads to libllama’s bytes, with and without experts', async () => {
  const model = await randomModelFile(small);
  const importance = await madeUpImportance(model);
  for (const mix of ['Q4_0', 'Q4_K_M', 'Q2_K_S', 'IQ2_XXS', 'IQ4_XS'] as const) {
    await compareWithLibllama(model, mix, { importance });
  }
  const experts = await randomModelFile({ ...small, tied: true, experts: [4, 2] });
  await compareWithLibllama(experts, 'Q4_K_M', { importance: await madeUpImportance(experts) });
});

test('sources in BF16, rows too short for a block, and flags of single tensors', async () => {
  const bf16 = await randomModelFile({ ...small, architecture: 'qwen3', type: GgmlType.BF16 });
  await compareWithLibllama(bf16, 'Q4_K_M');
  const odd = await randomModelFile({
    architecture: 'qwen2',
    embedding: 96,
    headDim: 24,
    inner: 160,
  });
  for (const mix of ['Q4_K_M', 'Q2_K'] as const) await compareWithLibllama(odd, mix);
  await compareWithLibllama(odd, 'Q5_0', { ours: { pure: true }, theirs: { pure: true } });
  await compareWithLibllama(odd, 'Q4_0', {
    ours: { outputType: GgmlType.Q5_1, embeddingType: GgmlType.Q8_0 },
    theirs: { outputType: GgmlType.Q5_1, embeddingType: GgmlType.Q8_0 },
  });
});

test('the number of threads changes nothing', async () => {
  const model = await randomModelFile(small);
  const files = await Promise.all(
    [1, 3].map(async (threads) => {
      const output = temporaryFile(`threads-${threads}.gguf`);
      await quantizeModel({ model, output, mix: 'Q4_K_M', threads });
      return readFileSync(output);
    }),
  );
  assert.ok(files[0]?.equals(files[1] as Buffer));
});

test('patterns decide before the rules, the first that matches', async () => {
  const model = await randomModelFile(small);
  const output = temporaryFile('patterns.gguf');
  const result = await quantizeModel({
    model,
    output,
    mix: 'Q4_K_M',
    overrides: [
      { pattern: /ffn_down/, type: GgmlType.Q8_0 },
      { pattern: /ffn_/, type: GgmlType.F16 },
    ],
  });
  const types = new Map(result.tensors.map(({ name, to }) => [name, to]));
  assert.equal(types.get('blk.0.ffn_down.weight'), 'Q8_0');
  assert.equal(types.get('blk.0.ffn_up.weight'), 'F16');
  assert.equal(types.get('blk.0.ffn_norm.weight'), 'F32');
  await using file = await readGguf(output);
  for (const [name, info] of file.tensors) assert.equal(typeName(info.type), types.get(name));
});

test('the DS4 mix squeezes routed experts and nothing else', () => {
  const tensors = ['ffn_gate_exps', 'ffn_up_exps', 'ffn_down_exps', 'ffn_up_shexp', 'attn_q_a']
    .map(
      (name): TensorFacts => ({
        name: `blk.3.${name}.weight`,
        shape: [512, 512, 8],
        type: GgmlType.BF16,
      }),
    )
    .concat([
      { name: 'blk.3.hc_attn_fn.weight', shape: [512, 24], type: GgmlType.F32 },
      { name: 'blk.3.attn_compressor_kv.weight', shape: [512, 64], type: GgmlType.BF16 },
      { name: 'blk.3.ffn_gate_inp.weight', shape: [512, 8], type: GgmlType.F32 },
      { name: 'output.weight', shape: [512, 999], type: GgmlType.BF16 },
    ]);
  const facts = { architecture: 'deepseek4', layers: 43, experts: 256, heads: 64, kvHeads: 1 };
  const chosen = chooseTypes(tensors, facts, { mix: mixByName('ds4'), hasImportance: true });
  const types = Object.fromEntries(
    chosen.map(({ name, target }) => [name.replace('blk.3.', ''), typeName(target)]),
  );
  assert.deepEqual(types, {
    'output.weight': 'Q8_0',
    'attn_compressor_kv.weight': 'F16',
    'attn_q_a.weight': 'Q8_0',
    'ffn_down_exps.weight': 'Q2_K',
    'ffn_gate_exps.weight': 'IQ2_XXS',
    'ffn_gate_inp.weight': 'F32',
    'ffn_up_exps.weight': 'IQ2_XXS',
    'ffn_up_shexp.weight': 'Q8_0',
    'hc_attn_fn.weight': 'F16',
  });
});

test('what cannot go well is refused, and leaves no file behind', async () => {
  const model = await randomModelFile(small);
  const output = temporaryFile('refused.gguf');
  const codeOf = async (options: object) => {
    const error = await quantizeModel({ model, output, mix: 'Q4_0', ...options }).then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    assert.ok(PacelineError.is(error), String(error));
    assert.ok(error.hint !== undefined || error.code === 'aborted');
    return error.code;
  };
  assert.equal(await codeOf({ mix: 'Q9_Z' }), 'usage');
  assert.equal(await codeOf({ mix: 'IQ2_XXS' }), 'usage');
  assert.equal(await codeOf({ mix: 'Q2_K_S' }), 'usage');
  assert.equal(await codeOf({ mix: 'Q8_0', embeddingType: GgmlType.IQ2_XXS }), 'usage');
  assert.equal(await codeOf({ output: model, replace: true }), 'usage');
  const other = await madeUpImportance(await randomModelFile({ ...small, embedding: 512 }));
  assert.equal(await codeOf({ imatrix: other.path }), 'wrong-shape');
  assert.equal(await codeOf({ signal: AbortSignal.abort() }), 'aborted');
  const broken = await randomModelFile({
    ...small,
    change: (tensor) => {
      if (tensor.name === 'blk.0.ffn_up.weight') tensor.values[7] = Number.NaN;
      return tensor;
    },
  });
  assert.equal(await codeOf({ model: broken }), 'bad-weights');
  assert.ok(!existsSync(output));
  await quantizeModel({ model, output, mix: 'Q4_0' });
  assert.equal(await codeOf({}), 'usage');
  const requantized = { model: output, output: temporaryFile('again.gguf'), mix: 'Q8_0' };
  assert.equal(await codeOf(requantized), 'usage');
  await quantizeModel({ ...requantized, allowRequantize: true });
  const leftovers = readdirSync(dirname(output)).filter((name) => name.endsWith('.part'));
  assert.deepEqual(leftovers, []);
});
