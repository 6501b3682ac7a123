import assert from 'node:assert/strict';
import { stat, writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import { bytes, table } from '../../src/cli/table.js';
import { type GgufMetadataEntry, GgufValueType } from '../../src/gguf/types.js';
import { writeGguf } from '../../src/gguf/writer.js';
import { text, u32, u32s } from '../../src/synthetic/entries.js';
import { mixOf, shapeOf, typedTensorsOf } from '../../src/synthetic/shapes.js';
import { jsonOf, paceline } from '../support/cli.js';
import { randomDflash, randomModelWithMtp } from '../support/random-drafters.js';
import { changedModel, temporaryFile, tinyModel } from '../support/tiny-model.js';
import { vocabularyFile } from '../support/vocabularies.js';

interface InspectJson {
  readonly architecture: string;
  readonly parameters: number;
  readonly file_bytes: number;
  readonly types: { readonly type: string; readonly share: number }[];
  readonly tokenizer: { readonly vocabulary_size: number; readonly has_chat_template: boolean };
  readonly memory: Record<string, number>[];
  readonly metadata?: Record<string, unknown>;
  readonly tensor_list?: { readonly name: string }[];
}

test('inspect --json says what the file holds and what a context needs', async () => {
  const model = await tinyModel('q8_0');
  const result = await paceline(['inspect', model, '--ctx', '100', '--json']);
  assert.deepEqual([result.code, result.stderr], [0, '']);
  const report = jsonOf(result) as unknown as InspectJson;
  const shape = shapeOf('tiny');
  const plan = typedTensorsOf(shape, mixOf('q8_0', shape));
  const elements = plan.map((tensor) => tensor.shape.reduce((a, b) => a * b, 1));
  assert.equal(report.architecture, 'qwen3');
  assert.equal(
    report.parameters,
    elements.reduce((a, b) => a + b, 0),
  );
  assert.equal(report.file_bytes, (await stat(model)).size);
  assert.deepEqual(
    report.types.map(({ type }) => type),
    ['Q8_0', 'F32'],
  );
  assert.equal(report.tokenizer.vocabulary_size, 512);
  // 2 layers of keys and values, 2 heads of 16 elements of 2 bytes.
  assert.deepEqual(
    report.memory.map(({ context, cache_bytes }) => [context, cache_bytes]),
    [[100, 100 * 2 * 2 * 2 * 16 * 2]],
  );
  assert.equal(report.metadata, undefined);
});

test('inspect counts drafters: in the file, beside it, and alone', async () => {
  const shape = { layers: 2, embedding: 64, heads: 4, kvHeads: 2, headDim: 32, inner: 96 };
  const [target, draft] = [temporaryFile('with-mtp.gguf'), temporaryFile('dflash.gguf')];
  await writeGguf(target, randomModelWithMtp(shape));
  const dflash = { ...shape, blockSize: 6, maskToken: 7, targetLayers: [2, 1] };
  await writeGguf(draft, randomDflash(dflash));
  const inspect = async (...flags: string[]) => {
    const result = await paceline(['inspect', ...flags, '--ctx', '400', '--json']);
    assert.deepEqual([result.code, result.stderr], [0, '']);
    return jsonOf(result) as unknown as InspectJson & { drafters: Record<string, number>[] };
  };
  const row = 2 * 2 * 32 * 2;
  const mtp = 400 * 64 * 4 + 408 * row;
  const [own] = (await inspect(target)).memory;
  assert.deepEqual([own?.cache_bytes, own?.draft_bytes], [2 * 400 * row, mtp]);
  const both = await inspect(target, '--draft-model', draft, '--draft-window', '100');
  const weights = (await inspect(draft)).memory[0]?.weight_bytes ?? 0;
  const small = 100 * 64 * 4 + 208 * row + 2 * 100 * 64 * 4 + 2 * 206 * row;
  assert.equal(both.memory[0]?.draft_bytes, small + weights);
  assert.equal(both.drafters.length, 2);
  const [alone] = (await inspect(draft)).memory;
  const state = 2 * 400 * 64 * 4 + 2 * 406 * row;
  assert.deepEqual([alone?.cache_bytes, alone?.draft_bytes], [0, state]);
  assert.equal(alone?.total_bytes, weights + state);
  const plain = await paceline(['inspect', target]);
  assert.match(plain.stdout, /context +weights +cache +drafters +together/);
});

test('inspect describes drafters that link their guesses', async () => {
  const shape = { layers: 2, embedding: 64, heads: 4, kvHeads: 2, headDim: 32, inner: 96 };
  const dflash = { ...shape, blockSize: 6, maskToken: 7, targetLayers: [2, 1] };
  const form = {
    ...{ queryRank: 8, rotated: 4, window: 9, ratios: [0], outputGroups: 1, outputRank: 8 },
    ...{ index: { heads: 1, keyLength: 8, most: 4 }, hashed: 0, limit: 1 },
  };
  const streams = { blocksOf: 'deepseek4', experts: [4, 2], deepseek4: form } as const;
  const markov = { rank: 4 };
  // A row of DeepSeek V4's layers is key and value; a tap of its streams is their mean.
  for (const [content, variant, guesses, row, says] of [
    [randomDflash({ ...dflash, markov }), 'DSpark', 6, 4 * 32, /DSpark, 6 guesses a pass.* 2, 1$/m],
    [
      randomDflash({ ...dflash, ...streams, markov, sampleFromAnchor: false }),
      ...([
        'DSpark',
        5,
        32,
        /DSpark, 5 guesses a pass.* 2, 1, layers as in DeepSeek V4$/m,
      ] as const),
    ],
    [
      randomDflash({ ...dflash, selector: { rank: 4, most: 3, taps: 2, group: 8 } }),
      ...(['DFlash2', 5, 4 * 32, /DFlash2, 5 guesses a pass/] as const),
    ],
  ] as const) {
    const path = temporaryFile('linked.gguf');
    await writeGguf(path, content);
    const result = await paceline(['inspect', path, '--ctx', '400', '--json']);
    const { drafters, memory } = jsonOf(result) as unknown as InspectJson & {
      drafters: Record<string, unknown>[];
    };
    const state = 2 * 400 * 64 * 4 + 2 * 406 * row * 2;
    assert.equal(memory[0]?.cache_bytes, 0);
    const [drafter] = drafters;
    assert.deepEqual(
      ['name', 'variant', 'guesses', 'state_bytes'].map((key) => drafter?.[key]),
      ['dflash', variant, guesses, state],
    );
    assert.match((await paceline(['inspect', path])).stdout, says);
  }
});

test('inspect says what a million tokens of DeepSeek V4 Flash take', async () => {
  // The header of the real model: two layers with a window alone, then 21 that keep a row for 4 positions and one of an
  // indexer, by turns with 20 that keep a row for 128; and a prediction block.
  const ratios = [0, 0, ...Array.from({ length: 41 }, (_, at) => (at % 2 === 0 ? 4 : 128)), 0];
  const numbers = {
    ...{ block_count: 44, context_length: 1_048_576, embedding_length: 4096 },
    ...{ 'attention.head_count': 64, 'attention.head_count_kv': 1, nextn_predict_layers: 1 },
    ...{ 'attention.key_length': 512, 'attention.value_length': 512, 'rope.dimension_count': 64 },
    ...{ 'attention.q_lora_rank': 1024, 'attention.sliding_window': 128 },
    ...{ 'attention.indexer.head_count': 64, 'attention.indexer.key_length': 128 },
    ...{ 'attention.indexer.top_k': 512, 'attention.output_group_count': 8 },
    ...{ 'attention.output_lora_rank': 1024, 'hyper_connection.count': 4, hash_layer_count: 3 },
    ...{ expert_count: 256, expert_used_count: 6, expert_feed_forward_length: 2048 },
  };
  const path = temporaryFile('deepseek-v4-flash.gguf');
  const metadata: [string, GgufMetadataEntry][] = [
    ['general.architecture', text('deepseek4')],
    ...Object.entries(numbers).map(([key, value]): [string, GgufMetadataEntry] => [
      ...([`deepseek4.${key}`, u32(value)] as const),
    ]),
    ['deepseek4.attention.compress_ratios', u32s(ratios)],
  ];
  await writeGguf(path, { metadata, tensors: [] });

  // Half-precision rows of blocks: (512 + 128) / 4 numbers a position in 21 layers, 512 / 128 in 20.
  const blocks =
    21 * (1_000_000 / 4) * (512 + 128) * 2 + 20 * Math.floor(1_000_000 / 128) * 512 * 2;
  const result = await paceline(['inspect', path, '--ctx', '1000000', '--json']);
  assert.deepEqual([result.code, result.stderr], [0, '']);
  const report = jsonOf(result) as unknown as InspectJson;
  const [need] = report.memory as unknown as [{ kv_type: string; cache_bytes: number }];
  assert.equal(need.kv_type, 'f16');
  // Besides, windows of 128 and what the next blocks are made of, whatever the context is.
  const fixed = need.cache_bytes - blocks;
  assert.ok(fixed > 43 * 128 * 512 * 2 && fixed < 0.03 * blocks, `${fixed} besides ${blocks}`);
  const half = jsonOf(await paceline(['inspect', path, '--ctx', '500000', '--json']));
  const [less] = (half as unknown as InspectJson).memory;
  const rows = 21 * (500_000 / 4) * (512 + 128) * 2 + 20 * Math.floor(500_000 / 128) * 512 * 2;
  assert.equal(less?.cache_bytes, rows + fixed);
  const printed = (await paceline(['inspect', path, '--ctx', '1000000'])).stdout;
  assert.ok(printed.includes(bytes(need.cache_bytes)), printed);
});

test('inspect --kv counts a cache of that type', async () => {
  const bytesOf = async (...flags: string[]): Promise<unknown[]> => {
    const report = jsonOf(
      await paceline(['inspect', 'default', '--ctx', '512', '--json', ...flags]),
    );
    return (report as unknown as InspectJson).memory.map(({ kv_type, cache_bytes }) => [
      kv_type,
      cache_bytes,
    ]);
  };
  // 7 layers of keys and values, 2 heads of 64 elements; 32 of q8_0 have 34 bytes.
  const elements = 512 * 7 * 2 * 2 * 64;
  assert.deepEqual(await bytesOf('--kv', 'f32'), [['f32', elements * 4]]);
  assert.deepEqual(await bytesOf('--kv', 'q8_0'), [['q8_0', (elements * 34) / 32]]);
});

test('inspect --all lists metadata and tensors; a vocabulary alone is fine, too', async () => {
  const all = jsonOf(await paceline(['inspect', await tinyModel(), '--all', '--json']));
  const { metadata, tensor_list } = all as unknown as InspectJson;
  assert.equal(metadata?.['qwen3.block_count'], 2);
  assert.deepEqual(metadata?.['tokenizer.ggml.tokens'], { type: 'string[]', length: 512 });
  assert.ok(tensor_list?.some(({ name }) => name === 'blk.1.ffn_down.weight'));
  const vocabulary = await paceline(['inspect', vocabularyFile('llama-spm')]);
  assert.equal(vocabulary.code, 0);
  assert.match(vocabulary.stdout, /tokenizer +llama.* 32000 tokens/);
});

test('text from a file cannot command the terminal', async () => {
  const name = 'evil \u001b[2J\u202e name';
  const path = await changedModel(await tinyModel(), 'evil.gguf', {
    metadata: { 'general.name': { type: GgufValueType.STRING, value: name } },
  });
  const { stdout } = await paceline(['inspect', path, '--all']);
  assert.doesNotMatch(stdout, /[\p{Bidi_Control}]/u);
  assert.ok(!stdout.includes('\u001b'));
  assert.match(stdout, /evil \\u001b\[2J\\u202e name/);
});

test('tables align text to the left and quantities to the right', () => {
  const rows = [
    ['a', '1.50 MiB', '3%'],
    ['bcd', '12 B', '97%'],
  ];
  assert.equal(
    table(rows, ['name', 'size', 'share']),
    'name      size  share\na     1.50 MiB     3%\nbcd       12 B    97%\n',
  );
});

test('bench measures prefill, decode and passes, and reports ratios', async () => {
  const flags = [
    '--shape',
    'tiny',
    '--prompt',
    '20',
    '--gen',
    '4',
    '--batch',
    '1,3',
    '--runs',
    '2',
    '--kv',
    'f32',
  ];
  const result = await paceline(['bench', ...flags, '--threads', '1', '--json'], {
    env: { XDG_CACHE_HOME: temporaryFile('cache') },
  });
  assert.deepEqual([result.code, result.stderr], [0, '']);
  const report = jsonOf(result) as {
    rows: { measure: string; tokens: number; median: number; min: number; max: number }[];
    ratios: Record<string, number>;
    kv_type: string;
  };
  assert.equal(report.kv_type, 'f32');
  assert.deepEqual(
    report.rows.map(({ measure, tokens }) => `${measure} ${tokens}`),
    ['prefill 19', 'decode 4', 'pass 1', 'pass 3'],
  );
  for (const { median, min, max } of report.rows)
    assert.ok(0 < min && min <= median && median <= max);
  assert.deepEqual(Object.keys(report.ratios), ['batch3']);
});

test('devices lists the CPU and says which kernels run, or why none do', async () => {
  const [plain, json, without] = await Promise.all([
    paceline(['devices']),
    paceline(['devices', '--json']),
    paceline(['devices', '--json'], { env: { PACELINE_CPU: 'ggml' } }),
  ]);
  assert.equal(plain.code, 0);
  assert.match(plain.stdout, /^CPU +cpu +\S/m);
  const report = jsonOf(json) as {
    ggml_version: string;
    devices: { kind: string; memory_total: number }[];
    threads: { default: number; most: number };
    native: { available: boolean; path: string };
  };
  assert.equal(report.devices[0]?.kind, 'cpu');
  assert.ok(Number(report.devices[0]?.memory_total) > 0);
  assert.ok(report.threads.default >= 1 && report.threads.default <= report.threads.most);
  const { native } = jsonOf(without) as { native: { available: boolean; reason: string } };
  assert.equal(native.available, false);
  assert.match(native.reason, /PACELINE_CPU/);
  assert.match(without.stderr, /^warning: native kernels/);
});

test('a path of the kernels that does not exist, or not on this machine, is refused', async () => {
  const { native } = jsonOf(await paceline(['devices', '--json'])) as {
    native: { paths: readonly string[] };
  };
  const absent = ['amx', 'avx2', 'neon'].filter((path) => !native.paths.includes(path));
  assert.ok(absent.length > 0);
  for (const path of ['abacus', ...absent]) {
    const result = await paceline(['devices'], { env: { PACELINE_CPU: path } });
    assert.equal(result.code, 1);
    assert.match(result.stderr, new RegExp(`^error: .*${path}`));
  }
});

test('bench --draft compares drafters on text and insists on the same tokens', async () => {
  const flags = [
    '--prompt',
    '4',
    '--gen',
    '6',
    '--runs',
    '1',
    '--threads',
    '1',
    '--draft',
    'ngram',
  ];
  const file = temporaryFile('prompt.txt');
  await writeFile(file, 'one two one two one ');
  const model = await tinyModel();
  const result = await paceline(['bench', model, ...flags, '--text', file, '--json']);
  assert.deepEqual([result.code, result.stderr], [0, '']);
  const report = jsonOf(result) as {
    rows: { measure: string; draft?: string; accepted?: number; tokens_per_step?: number }[];
    ratios: Record<string, number>;
  };
  const texts = report.rows.filter(({ measure }) => measure === 'text');
  assert.deepEqual(
    texts.map(({ draft }) => draft),
    ['none', 'ngram'],
  );
  assert.equal(texts[0]?.tokens_per_step, 1);
  assert.deepEqual(Object.keys(report.ratios), ['text_ngram', 'text_ngram_prefill']);
});
