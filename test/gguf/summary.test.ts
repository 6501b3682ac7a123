import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GgmlType } from '../../src/ggml/types.js';
import { keptPositions } from '../../src/ggml/window-rows.js';
import { layerKinds, memoryNeed } from '../../src/gguf/kv-layout.js';
import { readGguf } from '../../src/gguf/reader.js';
import { summarize } from '../../src/gguf/summary.js';
import type { GgufMetadataEntry } from '../../src/gguf/types.js';
import { ggufValue } from '../../src/gguf/values.js';
import { encodeGguf } from '../../src/gguf/writer.js';
import { vocabularyFile } from '../support/vocabularies.js';
import { patterned, readBytes } from './support.js';

/** A model's header: architecture, integers by short key, and further entries. */
async function summaryOf(
  architecture: string,
  integers: Readonly<Record<string, number>>,
  more: readonly (readonly [string, GgufMetadataEntry])[] = [],
) {
  const metadata: (readonly [string, GgufMetadataEntry])[] = [
    ['general.architecture', ggufValue.string(architecture)],
    ...Object.entries(integers).map(
      ([key, value]) => [`${architecture}.${key}`, ggufValue.uint32(value)] as const,
    ),
    ...more,
  ];
  const tensors = [
    patterned('token_embd.weight', 'Q8_0', [64, 10]),
    patterned('blk.0.attn_q.weight', 'Q4_0', [64, 64]),
    patterned('blk.0.attn_k.weight', 'Q4_0', [64, 32]),
    patterned('output_norm.weight', 'F32', [64]),
  ];
  return summarize(await readBytes(await encodeGguf({ metadata, tensors })));
}

/** Llama 3 8B's shape. */
const llama = {
  block_count: 32,
  context_length: 8192,
  embedding_length: 4096,
  'attention.head_count': 32,
  'attention.head_count_kv': 8,
};

test('counts parameters, types and bits', async () => {
  const summary = await summaryOf('llama', llama, [
    ['general.name', ggufValue.string('Test')],
    ['tokenizer.ggml.model', ggufValue.string('gpt2')],
    ['tokenizer.ggml.pre', ggufValue.string('llama-bpe')],
    ['tokenizer.ggml.tokens', ggufValue.strings(['a', 'b', 'c'])],
    ['tokenizer.chat_template', ggufValue.string('{{ x }}')],
  ]);
  const parameters = 640 + 4096 + 2048 + 64;
  const bytes = 680 + (4096 + 2048) * (18 / 32) + 256;
  assert.equal(summary.architecture, 'llama');
  assert.equal(summary.name, 'Test');
  assert.equal(summary.parameters, parameters);
  assert.equal(summary.weightBytes, bytes);
  assert.equal(summary.bitsPerWeight, (8 * bytes) / parameters);
  assert.deepEqual(
    summary.types.map(({ type, tensors, elements }) => [type, tensors, elements]),
    [
      ['Q4_0', 2, 6144],
      ['Q8_0', 1, 640],
      ['F32', 1, 64],
    ],
  );
  assert.ok(Math.abs(summary.types.reduce((sum, { share }) => sum + share, 0) - 1) < 1e-12);
  assert.deepEqual(summary.tokenizer, {
    kind: 'gpt2',
    preTokenizer: 'llama-bpe',
    vocabularySize: 3,
    hasChatTemplate: true,
  });
  assert.equal(summary.contextLength, 8192);
  assert.equal(summary.heads, 32);
  assert.equal(summary.kvHeads, 8);
  assert.equal(summary.experts, undefined);
});

test('grouped heads make the cache small: 128 KiB a token for an 8B Llama 3', async () => {
  const { cache } = await summaryOf('llama', llama);
  assert.ok(cache);
  const need = memoryNeed(cache, { contextLength: 8192, weightBytes: 5 });
  assert.equal(need.cacheBytes, 8192 * 128 * 1024);
  assert.equal(need.wholeCacheBytes, need.cacheBytes);
  assert.equal(need.totalBytes, need.cacheBytes + 5);
  const quantised = memoryNeed(cache, {
    contextLength: 8192,
    weightBytes: 0,
    kvType: GgmlType.Q8_0,
  });
  assert.equal(quantised.cacheBytes, (need.cacheBytes / 2 / 32) * 34);
  const integers = memoryNeed(cache, {
    ...{ contextLength: 8192, weightBytes: 0, kvType: GgmlType.I16 },
  });
  // Two scales for each of 8 heads in each of 32 layers.
  assert.equal(integers.cacheBytes, need.cacheBytes + 8192 * 32 * 8 * 8);
  const odd = { contextLength: 100, weightBytes: 0, kvType: GgmlType.I16 };
  assert.equal(memoryNeed(cache, odd).cacheBytes, (integers.cacheBytes / 8192) * 128);
});

test('without head_count_kv every head has its own', async () => {
  const { 'attention.head_count_kv': _, ...rest } = llama;
  const { cache } = await summaryOf('llama', rest);
  assert.equal(cache?.[0]?.keys, 4096);
});

test('gemma3 keeps a window in five of six layers', async () => {
  const { cache } = await summaryOf('gemma3', {
    block_count: 26,
    embedding_length: 1152,
    'attention.head_count': 4,
    'attention.head_count_kv': 1,
    'attention.key_length': 256,
    'attention.value_length': 256,
    'attention.sliding_window': 512,
  });
  assert.ok(cache);
  const full = cache.flatMap(({ window }, layer) => (window === undefined ? [layer] : []));
  assert.deepEqual(full, [5, 11, 17, 23]);
  const row = 2 * 256 * 2;
  const need = memoryNeed(cache, { contextLength: 32768, weightBytes: 0 });
  // At the end of the text the window, 128 positions where kernels begin, 256 to go back by, 256 that are
  // given back together, 512 of a pass; and for checkpoints two windows with the 128, or 2048.
  const kept = 512 + 128 + 256 + 256 + 512 + 2048;
  assert.equal(need.cacheBytes, row * (4 * 32768 + 22 * kept));
  assert.equal(need.wholeCacheBytes, row * 26 * 32768);
  const short = memoryNeed(cache, { contextLength: 100, weightBytes: 0 });
  assert.equal(short.cacheBytes, row * 26 * 100);
});

test('lists by layer, window lengths of their own and shared layers are followed', async () => {
  const { cache, kvHeads } = await summaryOf(
    'gemma4',
    {
      block_count: 4,
      embedding_length: 64,
      'attention.head_count': 4,
      'attention.key_length': 32,
      'attention.value_length': 32,
      'attention.key_length_swa': 16,
      'attention.value_length_swa': 8,
      'attention.sliding_window': 128,
      'attention.shared_kv_layers': 1,
    },
    [
      ['gemma4.attention.head_count_kv', ggufValue.numbers('int32', [2, 2, 1, 1])],
      ['gemma4.attention.sliding_window_pattern', ggufValue.booleans([true, false, true, false])],
    ],
  );
  assert.deepEqual(kvHeads, [2, 2, 1, 1]);
  assert.deepEqual(cache, [
    { heads: 2, keys: 32, values: 16, window: 128 },
    { heads: 2, keys: 64, values: 64 },
    { heads: 1, keys: 16, values: 8, window: 128 },
    { heads: 0, keys: 0, values: 0 },
  ]);
});

test('linear attention has a state that does not grow', async () => {
  const { cache } = await summaryOf('qwen35', {
    block_count: 8,
    embedding_length: 64,
    'attention.head_count': 4,
    'attention.head_count_kv': 2,
    'attention.key_length': 16,
    'attention.value_length': 16,
    'ssm.conv_kernel': 4,
    'ssm.inner_size': 128,
    'ssm.state_size': 16,
    'ssm.group_count': 2,
    'ssm.time_step_rank': 8,
  });
  assert.ok(cache);
  // Two states: the matrices, and rows before and behind them with two numbers a head more.
  const stateBytes = 2 * 4 * (16 * 128 + (3 + 16) * (128 + 2 * 2 * 16 + 2 * 8));
  assert.deepEqual(cache[0], { heads: 0, keys: 0, values: 0, stateBytes });
  assert.deepEqual(cache[3], { heads: 2, keys: 32, values: 32 });
  const need = memoryNeed(cache, { contextLength: 1000, weightBytes: 0 });
  assert.equal(need.cacheBytes, 6 * stateBytes + 2 * 1000 * 128);
});

test('what the header does not tell is undefined', async () => {
  const bare = await summaryOf('llama', {});
  assert.equal(bare.cache, undefined);
  assert.equal(bare.tokenizer, undefined);
  assert.equal(bare.contextLength, undefined);
  const hostile = await summaryOf('llama', { ...llama, block_count: 2 ** 31 - 1 });
  assert.equal(hostile.cache, undefined);
  const compressed = await summaryOf('deepseek4', llama, [
    ['deepseek4.attention.compress_ratios', ggufValue.numbers('uint32', [4])],
  ]);
  assert.equal(compressed.cache, undefined, 'fewer than the layers');
});

test('the cache of a million tokens of DeepSeek V4 Flash', async () => {
  // Two layers with a window alone, then 21 with a row for 4 positions and 20 with one for 128; a draft block.
  const ratios = [0, 0, ...Array.from({ length: 41 }, (_, at) => (at % 2 === 0 ? 4 : 128)), 0];
  const keys = {
    ...{ block_count: 44, embedding_length: 4096, nextn_predict_layers: 1 },
    ...{ 'attention.head_count': 64, 'attention.head_count_kv': 1 },
    ...{ 'attention.key_length': 512, 'attention.value_length': 512 },
    ...{ 'attention.sliding_window': 128, 'attention.indexer.head_count': 64 },
    ...{ 'attention.indexer.key_length': 128, 'attention.indexer.top_k': 512 },
  };
  const { cache } = await summaryOf('deepseek4', keys, [
    ['deepseek4.attention.compress_ratios', ggufValue.numbers('uint32', ratios)],
  ]);
  assert.ok(cache);
  assert.deepEqual(layerKinds(cache), {
    ...{ full: 0, window: 2, latent: 0, recurrent: 0, compressed: 41, shared: 0 },
  });
  const need = memoryNeed(cache, { contextLength: 1_000_000, weightBytes: 0 });
  const rows = 21 * 250_000 * (512 + 128) * 2 + 20 * 7812 * 512 * 2;
  const windows = 43 * keptPositions(128, 1_000_000) * 512 * 2;
  // Values and gates of the last 7 or 127 positions and of 16 that may be undone, before and behind a pass.
  const frontiers = 21 * 2 * 4 * (7 + 16) * 4 * (512 + 128) + 20 * 2 * 4 * (127 + 16) * 2 * 512;
  assert.equal(need.cacheBytes, rows + windows + frontiers);
  assert.ok(need.cacheBytes < 7.2e9, `${need.cacheBytes}`);
});

test('a real vocabulary without weights is summed up', async () => {
  await using file = await readGguf(vocabularyFile('gemma-4'));
  const summary = summarize(file);
  assert.equal(summary.architecture, 'gemma4');
  assert.equal(summary.parameters, 0);
  assert.equal(summary.bitsPerWeight, 0);
  assert.deepEqual(summary.types, []);
  assert.equal(summary.tokenizer?.vocabularySize, 262144);
  assert.equal(summary.tokenizer?.hasChatTemplate, true);
  assert.deepEqual(summary.experts, { count: 128, used: 8 });
  // Five layers with a window and eight heads, then one that sees all with two heads of twice the
  // length; 30 layers.
  assert.ok(summary.cache);
  assert.deepEqual(
    summary.cache,
    Array.from({ length: 30 }, (_, layer) =>
      layer % 6 === 5
        ? { heads: 2, keys: 1024, values: 1024 }
        : { heads: 8, keys: 2048, values: 2048, window: 1024 },
    ),
  );
  const need = memoryNeed(summary.cache, { contextLength: 100_000, weightBytes: 0 });
  const kept = 3 * (1024 + 128) + 1024;
  assert.equal(need.cacheBytes, 2 * (5 * 2048 * 100_000 + 25 * 4096 * kept));
});

test('counts the layers by what they keep', async () => {
  const sliding = { 'attention.sliding_window': 512, 'attention.sliding_window_pattern': 4 };
  const shared = { 'attention.shared_kv_layers': 12 };
  const windows = await summaryOf('gemma4', { ...llama, ...sliding, ...shared });
  const none = { full: 0, window: 0, latent: 0, recurrent: 0, compressed: 0, shared: 0 };
  const kindsOf = (summary: Awaited<ReturnType<typeof summaryOf>>) =>
    layerKinds(summary.cache ?? []);
  assert.deepEqual(kindsOf(windows), { ...none, full: 5, window: 15, shared: 12 });
  const mla = {
    ...{ 'attention.key_length': 576, 'attention.value_length': 512 },
    'attention.key_length_mla': 192,
  };
  const latent = await summaryOf('deepseek2', { ...llama, ...mla });
  assert.deepEqual(kindsOf(latent), { ...none, latent: 32 });
  // One row for all heads, and no values besides.
  const contextLength = 100;
  const need = memoryNeed(latent.cache ?? [], { contextLength, weightBytes: 0 });
  assert.equal(need.cacheBytes, 32 * 576 * 2 * contextLength);
});
