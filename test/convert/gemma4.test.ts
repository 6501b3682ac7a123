/**
 * Checkpoints of Gemma 4: converted, their logits are those of a reference that reads the checkpoint; metadata and
 * vocabulary of the published 26B-A4B are those that llama.cpp's converter made.
 */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { it } from 'node:test';
import { readHyperparameters } from '../../src/convert/checkpoint-metadata.js';
import { readVocabulary } from '../../src/convert/checkpoint-vocabulary.js';
import { convertCheckpoint } from '../../src/convert/convert.js';
import { JsonObject } from '../../src/convert/json.js';
import { GgmlType } from '../../src/ggml/types.js';
import { readGguf } from '../../src/gguf/reader.js';
import { Runner, worstDifference } from '../oracle/runner.js';
import { temporaryFile } from '../support/tiny-model.js';
import { vocabularyFile } from '../support/vocabularies.js';
import { type CheckpointOptions, randomCheckpoint } from './checkpoint.js';
import { gemma4Logits } from './gemma4-reference.js';
import { small, sparse } from './gemma4-shapes.js';

const tokens = [7, 300, 12, 45, 45, 201, 3, 99, 150, 31, 77, 260, 8];

const cases: Readonly<Record<string, CheckpointOptions>> = {
  'with keys that are values, in a model that sees': { within: 'Gemma4ForConditionalGeneration' },
  'with embeddings of each layer and shared keys': { config: small },
  'with experts beside the network, without a cap': { config: sparse },
};

for (const [name, options] of Object.entries(cases)) {
  it(name, async () => {
    const checkpoint = randomCheckpoint('Gemma4ForCausalLM', options);
    const path = temporaryFile(`gemma4-${Math.random()}.gguf`);
    const { architecture } = await convertCheckpoint({
      checkpoint: checkpoint.folder,
      output: path,
    });
    assert.equal(architecture, 'gemma4');
    using runner = await Runner.open(path, { cacheType: GgmlType.F32, capacity: 64 });
    const expected = gemma4Logits(checkpoint, tokens).map((row) => Float32Array.from(row));
    const worst = worstDifference(await runner.decode(tokens), expected);
    assert.ok(worst < 1e-4, String(worst));
  });
}

/** The config of 26B-A4B, in the older form of the heads of layers that see everything. */
const published = {
  ...{ vocab_size: 262_144, hidden_size: 2816, intermediate_size: 2112, num_hidden_layers: 30 },
  ...{ num_attention_heads: 16, num_key_value_heads: 8, num_global_key_value_heads: 2 },
  ...{ head_dim: 256, global_head_dim: 512, max_position_embeddings: 262_144 },
  ...{
    rms_norm_eps: Math.fround(1e-6),
    sliding_window: 1024,
    attention_k_eq_v: true,
    num_kv_shared_layers: 0,
  },
  ...{ enable_moe_block: true, num_experts: 128, top_k_experts: 8, moe_intermediate_size: 704 },
  ...{ final_logit_softcapping: 30, hidden_size_per_layer_input: 0, use_double_wide_mlp: false },
  ...{ hidden_activation: 'gelu_pytorch_tanh', use_bidirectional_attention: 'vision' },
  rope_parameters: {
    full_attention: { rope_type: 'proportional', partial_rotary_factor: 0.25, rope_theta: 1e6 },
    sliding_attention: { rope_type: 'default', rope_theta: 10_000 },
  },
};

it('has the metadata of the published file, from configs of both forms', async () => {
  await using file = await readGguf(vocabularyFile('gemma-4'));
  const expected = [...file.metadata].filter(([key]) => key.startsWith('gemma4.')).sort();
  const { global_head_dim: head_dim, num_global_key_value_heads: num_key_value_heads } = published;
  const full = Array.from({ length: 5 }, (_, at) => [
    6 * at + 5,
    { head_dim, num_key_value_heads },
  ]);
  const newer = {
    ...published,
    ...{ global_head_dim: undefined, per_layer_config: Object.fromEntries(full) },
  };
  for (const text_config of [published, newer]) {
    const architectures = ['Gemma4ForConditionalGeneration'];
    const config = new JsonObject('config.json', { architectures, text_config });
    const { metadata, ropeFactors } = readHyperparameters(config);
    assert.deepEqual([...metadata].sort(), expected);
    const divisors = ropeFactors?.get('rope_freqs.weight') ?? [];
    assert.deepEqual([...new Set(divisors.slice(0, 64))], [1]);
    assert.deepEqual([...new Set(divisors.slice(64))], [Math.fround(1e30)]);
    assert.equal(divisors.length, 256);
  }
});

it('has the vocabulary of the published file', async () => {
  await using file = await readGguf(vocabularyFile('gemma-4'));
  const list = (key: string) => file.metadata.get(`tokenizer.ggml.${key}`)?.value as string[];
  const [texts, types] = [list('tokens'), list('token_type').map(Number)];
  const added = [...types.entries()]
    .filter(([, type]) => type === 3 || type === 4)
    .map(([id]) => ({ id, content: texts[id], special: true }));
  const folder = temporaryFile('gemma4-vocabulary');
  mkdirSync(folder);
  const write = (name: string, value: object) =>
    writeFileSync(join(folder, name), JSON.stringify(value));
  const vocab = Object.fromEntries(texts.map((text, id) => [text, id]));
  const merges = list('merges').map((merge) => merge.split(' '));
  write('tokenizer.json', {
    model: { type: 'BPE', byte_fallback: true, unk_token: '<unk>', vocab, merges },
    added_tokens: added,
  });
  write('tokenizer_config.json', {
    ...{ bos_token: '<bos>', eos_token: '<eos>', unk_token: '<unk>', pad_token: '<pad>' },
    chat_template: file.string('tokenizer.chat_template'),
  });
  const entries = await readVocabulary({
    ...{ folder, architecture: 'gemma4', size: texts.length },
    modelConfig: new JsonObject('config.json', {}),
  });
  const expected = [...file.metadata].filter(([key]) => key.startsWith('tokenizer.'));
  assert.deepEqual([...entries.keys()].sort(), expected.map(([key]) => key).sort());
  for (const [key, { value }] of expected) assert.deepEqual(entries.get(key)?.value, value, key);
});

it('refuses what it can not express, by name', async () => {
  for (const [config, says] of [
    [{ use_bidirectional_attention: 'all' }, /both directions/],
    [{ attention_bias: true }, /biases/],
    [{ layer_types: ['sliding_attention'] }, /layer_types/],
    [{ quantization_config: { quant_method: 'awq' } }, /quantised/],
    [{ num_kv_shared_layers: 2 }, /shared_kv_layers/],
    [{ rope_parameters: { full_attention: { rope_type: 'linear', factor: 2 } } }, /linear/],
  ] as const) {
    const checkpoint = randomCheckpoint('Gemma4ForCausalLM');
    const changed = { ...checkpoint.config, ...config };
    writeFileSync(join(checkpoint.folder, 'config.json'), JSON.stringify(changed));
    const output = temporaryFile(`refused-${Math.random()}.gguf`);
    await assert.rejects(convertCheckpoint({ checkpoint: checkpoint.folder, output }), says);
  }
});
