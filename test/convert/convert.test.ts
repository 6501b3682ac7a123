import assert from 'node:assert/strict';
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { PacelineError } from '../../src/base/errors.js';
import { convertCheckpoint } from '../../src/convert/convert.js';
import { quantizeModel } from '../../src/convert/quantize.js';
import { GgmlType, typeName } from '../../src/ggml/types.js';
import { readGguf } from '../../src/gguf/reader.js';
import { createTokenizer } from '../../src/tokenizer/tokenizer.js';
import { Runner, worstDifference } from '../oracle/runner.js';
import { temporaryFile } from '../support/tiny-model.js';
import {
  type Checkpoint,
  type CheckpointClass,
  type CheckpointOptions,
  longRope,
  randomCheckpoint,
} from './checkpoint.js';
import { referenceLogits } from './reference.js';

const tokens = [7, 300, 12, 45, 45, 201, 3, 99, 150, 31, 77, 260, 8];
let made = 0;

async function converted(checkpoint: Checkpoint, type = 'auto'): Promise<string> {
  const output = temporaryFile(`converted-${++made}.gguf`);
  await convertCheckpoint({ checkpoint: checkpoint.folder, output, type, threads: 1 });
  return output;
}

async function logitsOf(path: string): Promise<Float32Array[]> {
  using runner = await Runner.open(path, { cacheType: GgmlType.F32, capacity: 64 });
  return await runner.decode(tokens);
}

const llama3 = {
  ...{ rope_type: 'llama3', factor: 8, low_freq_factor: 1, high_freq_factor: 4 },
  original_max_position_embeddings: 32,
};
const cases: readonly (readonly [name: string, of: CheckpointClass, options: CheckpointOptions])[] =
  [
    ['llama', 'LlamaForCausalLM', {}],
    [
      'llama with biases, shared among three files',
      'LlamaForCausalLM',
      { shards: 3, config: { attention_bias: true } },
    ],
    [
      'llama with the rotation of Llama 3',
      'LlamaForCausalLM',
      { config: { rope_scaling: llama3 } },
    ],
    ['mixtral', 'MixtralForCausalLM', {}],
    ['qwen2, tied', 'Qwen2ForCausalLM', { config: { tie_word_embeddings: true } }],
    ['qwen3', 'Qwen3ForCausalLM', {}],
    ['qwen3moe', 'Qwen3MoeForCausalLM', { shards: 2 }],
    ['qwen3moe with fused experts', 'Qwen3MoeForCausalLM', { fused: true }],
    ['olmoe', 'OlmoeForCausalLM', {}],
    ['emo', 'EmoForCausalLM', { shards: 2 }],
    ['emo without a shared expert', 'EmoForCausalLM', { config: { num_shared_experts: 0 } }],
    [
      'emo, pruned to fewer experts than a token goes through, unevenly, and with a dense layer',
      'EmoForCausalLM',
      {
        config: {
          ...{ num_hidden_layers: 4, num_experts_per_layer: [6, 0, 2, 4], attention_bias: true },
          ...{ dense_intermediate_size: 48, dense_mlp_bias: true },
        },
      },
    ],
    ['olmo2', 'Olmo2ForCausalLM', {}],
    ['olmo3', 'Olmo3ForCausalLM', {}],
    ['smollm3', 'SmolLM3ForCausalLM', {}],
    ['granite', 'GraniteForCausalLM', {}],
    ['granitemoe', 'GraniteMoeForCausalLM', {}],
    ['ernie4_5', 'Ernie4_5ForCausalLM', {}],
    ['phi3', 'Phi3ForCausalLM', {}],
    ['phi3 with LongRoPE, beyond the first context', 'Phi3ForCausalLM', { config: longRope(8) }],
    ['phi3 with LongRoPE, within it', 'Phi3ForCausalLM', { config: longRope(96) }],
    [
      'phi3 with LongRoPE as older configs call it',
      'Phi3ForCausalLM',
      { config: { ...longRope(8, 'su'), tie_word_embeddings: true } },
    ],
    ['seed_oss', 'SeedOssForCausalLM', {}],
    ['hunyuan-dense', 'HunYuanDenseV1ForCausalLM', {}],
    ['mistral3', 'Ministral3ForCausalLM', {}],
    [
      'mistral3 without a scaled rotation, as Mistral Small 3',
      'Ministral3ForCausalLM',
      {
        within: 'Mistral3ForConditionalGeneration',
        config: { model_type: 'mistral', rope_parameters: undefined },
      },
    ],
    [
      'mistral3 in a model that sees',
      'Ministral3ForCausalLM',
      { within: 'Mistral3ForConditionalGeneration' },
    ],
    ['gemma2', 'Gemma2ForCausalLM', {}],
    ['gemma3', 'Gemma3ForCausalLM', {}],
  ];

for (const [name, of, options] of cases) {
  test(`${name}: logits are those of the checkpoint in double precision`, async () => {
    const checkpoint = randomCheckpoint(of, options);
    const expected = referenceLogits(checkpoint, tokens).map((row) => Float32Array.from(row));
    const difference = worstDifference(await logitsOf(await converted(checkpoint)), expected);
    assert.ok(difference < 1e-4, `logits differ by ${difference} of their range`);
  });
}

for (const type of ['F16', 'BF16'] as const) {
  test(`a checkpoint in ${type} stays ${type}, and its norms become F32`, async () => {
    for (const of of ['LlamaForCausalLM', 'Gemma3ForCausalLM'] as const) {
      const checkpoint = randomCheckpoint(of, { type });
      const path = await converted(checkpoint);
      await using file = await readGguf(path);
      for (const { name, type: found } of file.tensors.values()) {
        assert.equal(typeName(found), name.includes('norm') ? 'F32' : type, name);
      }
      const exact = await logitsOf(await converted(checkpoint, 'F32'));
      const expected = referenceLogits(checkpoint, tokens).map((row) => Float32Array.from(row));
      assert.ok(worstDifference(exact, expected) < 1e-4);
    }
  });
}

test('quantising in the same pass gives the bytes of two passes', async () => {
  const config = { hidden_size: 256, intermediate_size: 256, num_hidden_layers: 1 };
  const checkpoint = randomCheckpoint('Qwen3ForCausalLM', { type: 'BF16', config });
  const atOnce = await converted(checkpoint, 'Q4_K_M');
  const output = temporaryFile('two-passes.gguf');
  await quantizeModel({ model: await converted(checkpoint), output, mix: 'Q4_K_M' });
  await using a = await readGguf(atOnce);
  await using b = await readGguf(output);
  assert.deepEqual([...a.tensors.keys()], [...b.tensors.keys()]);
  for (const [name, info] of a.tensors) {
    const other = b.tensors.get(name) as typeof info;
    assert.equal(other.type, info.type, name);
    const [left, right] = [new Uint8Array(info.bytes), new Uint8Array(info.bytes)];
    await a.readTensor(info, left);
    await b.readTensor(other, right);
    assert.ok(Buffer.from(left).equals(right), name);
  }
});

test('metadata: sampling, specials, template, tokens that come back', async () => {
  const checkpoint = randomCheckpoint('LlamaForCausalLM');
  await using file = await readGguf(await converted(checkpoint));
  assert.equal(file.integer('general.sampling.top_k'), 20);
  assert.ok(Math.abs(file.number('general.sampling.temp') - 0.6) < 1e-6);
  assert.equal(file.string('tokenizer.ggml.pre'), 'smollm');
  assert.equal(file.integer('tokenizer.ggml.bos_token_id'), 318);
  assert.equal(file.integer('tokenizer.ggml.eos_token_id'), 319);
  assert.equal(file.boolean('tokenizer.ggml.add_bos_token'), true);
  assert.equal(file.string('tokenizer.chat_template'), '{{ messages[0].content }}');
  const tokenizer = createTokenizer(file);
  const text = 'Add 12 to naïve ☃!';
  const ids = tokenizer.encode(text);
  assert.equal(ids[0], 318);
  assert.equal(tokenizer.decode(ids), text);
});

test('what is not known or does not fit is refused by name, and nothing is written', async () => {
  const output = temporaryFile('refused-conversion.gguf');
  const refusal = async (change: (folder: string) => void, options: CheckpointOptions = {}) => {
    const { folder } = randomCheckpoint('LlamaForCausalLM', options);
    change(folder);
    const error = await convertCheckpoint({ checkpoint: folder, output }).then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    assert.ok(PacelineError.is(error), String(error));
    assert.ok(!existsSync(output));
    return `${error.code}: ${error.message}`;
  };
  const edit =
    (file: string, change: (value: Record<string, unknown>) => void) => (folder: string) => {
      const path = join(folder, file);
      const value = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
      change(value);
      writeFileSync(path, JSON.stringify(value));
    };
  const none = () => {};
  assert.match(
    await refusal(
      edit('config.json', (c) => {
        c.architectures = ['MambaForCausalLM'];
      }),
    ),
    /^unsupported-architecture: .*MambaForCausalLM/,
  );
  assert.match(
    await refusal(
      edit('config.json', (c) => {
        c.rope_scaling = { rope_type: 'spiral' };
      }),
    ),
    /^unsupported-architecture: .*spiral/,
  );
  assert.match(
    await refusal(
      edit('config.json', (c) => {
        c.num_hidden_layers = 3;
      }),
    ),
    /^missing-tensor: .*blk\.2\./,
  );
  assert.match(
    await refusal(
      edit('config.json', (c) => {
        c.num_hidden_layers = 1;
      }),
    ),
    /^unsupported-architecture: .*model\.layers\.1\./,
  );
  assert.match(
    await refusal(
      edit('config.json', (c) => {
        c.intermediate_size = 64;
      }),
    ),
    /^wrong-shape: .*ffn_/,
  );
  assert.match(
    await refusal(
      edit('config.json', (c) => {
        c.hidden_size = 'large';
      }),
    ),
    /^broken-file: config\.json hidden_size/,
  );
  assert.match(
    await refusal(
      edit('tokenizer.json', (t) => {
        t.pre_tokenizer = { type: 'Whitespace' };
      }),
    ),
    /^unsupported-tokenizer: .*Whitespace/,
  );
  assert.match(await refusal((folder) => rmSync(join(folder, 'config.json'))), /^model-not-found/);
  assert.match(
    await refusal((folder) => rmSync(join(folder, 'tokenizer.json'))),
    /^unsupported-tok/,
  );
  const lost = 'model-00002-of-00002.safetensors';
  assert.match(
    await refusal((folder) => renameSync(join(folder, lost), join(folder, 'lost')), { shards: 2 }),
    /^model-not-found: .*model-00002/,
  );
  const astray = edit('model.safetensors.index.json', (index) => {
    (index.weight_map as Record<string, string>)['model.norm.weight'] = '../../etc/passwd';
  });
  assert.match(await refusal(astray, { shards: 2 }), /^broken-file: The index names/);
  assert.match(
    await refusal(none, { config: { quantization_config: { quant_method: 'gptq' } } }),
    /^unsupported-architecture: A quantised/,
  );
  assert.match(
    await refusal(none, { config: { clip_qkv: 8 } }),
    /^unsupported-architecture: Clipping/,
  );
});
