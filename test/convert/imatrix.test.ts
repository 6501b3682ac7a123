import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PacelineError } from '../../src/base/errors.js';
import { chunksOf } from '../../src/bench/evaluator.js';
import { collectImportance } from '../../src/convert/imatrix.js';
import { type GgufFile, readGguf } from '../../src/gguf/reader.js';
import { createTokenizer } from '../../src/tokenizer/tokenizer.js';
import { randomModelFile } from './quantize-support.js';

const text = Array.from({ length: 700 }, (_, at) =>
  String.fromCharCode(97 + ((at * at) % 26)),
).join('');
const settings = { text, dataset: 'letters.txt', contextLength: 160, threads: 1 } as const;

async function values(file: GgufFile, name: string): Promise<Float32Array> {
  const info = file.tensors.get(name);
  assert.ok(info !== undefined);
  const data = new Float32Array(info.bytes / 4);
  await file.readTensor(info, new Uint8Array(data.buffer));
  return data;
}

test('the first layer’s sums are those of the normed embeddings', async () => {
  const model = await randomModelFile({ architecture: 'llama', layers: 2 });
  const matrix = await collectImportance({ ...settings, model });
  await using file = await readGguf(model);
  const table = await values(file, 'token_embd.weight');
  const norm = await values(file, 'blk.0.attn_norm.weight');
  const expected = new Float64Array(norm.length);
  const chunks = chunksOf(createTokenizer(file), text, settings.contextLength);
  for (const token of chunks.flat()) {
    const row = table.subarray(token * norm.length, (token + 1) * norm.length);
    const square = row.reduce((sum, x) => sum + x * x, 0) / row.length + 1e-6;
    for (const [at, weight] of norm.entries()) {
      (expected[at] as number) += ((row[at] as number) * weight) ** 2 / square;
    }
  }
  for (const name of ['attn_q', 'attn_k', 'attn_v']) {
    const entry = matrix.entries.get(`blk.0.${name}.weight`);
    assert.deepEqual([...(entry?.counts ?? [])], [chunks.flat().length]);
    for (const [at, sum] of (entry?.sums ?? []).entries()) {
      assert.ok(Math.abs(sum / (expected[at] as number) - 1) < 1e-4, `${name} column ${at}`);
    }
  }
  const names = [...matrix.entries.keys()];
  assert.equal(names.length, 2 * 7);
  assert.ok(names.every((name) => name.startsWith('blk.')));
  assert.deepEqual([matrix.chunkCount, matrix.chunkSize], [chunks.length, 160]);
});

test('each expert has its own sums and counts', async () => {
  const model = await randomModelFile({ architecture: 'qwen3moe', layers: 1, inner: 256 });
  const matrix = await collectImportance({ ...settings, model });
  const tokens = matrix.chunkCount * matrix.chunkSize;
  const gate = matrix.entries.get('blk.0.ffn_gate_exps.weight');
  const down = matrix.entries.get('blk.0.ffn_down_exps.weight');
  const router = matrix.entries.get('blk.0.ffn_gate_inp.weight');
  assert.ok(gate !== undefined && down !== undefined && router !== undefined);
  assert.equal(gate.counts.length, 8);
  assert.equal(
    gate.counts.reduce((a, b) => a + b, 0),
    3 * tokens,
  );
  assert.deepEqual(gate.counts, down.counts);
  assert.deepEqual([gate.sums.length, down.sums.length], [8 * 256, 8 * 256]);
  // Three experts a token see the same inputs as the router.
  const sum = (all: Float32Array) => all.reduce((a, b) => a + b, 0);
  assert.ok(Math.abs(sum(gate.sums) / (3 * sum(router.sums)) - 1) < 1e-4);
  for (const [expert, count] of down.counts.entries()) {
    const own = sum(down.sums.subarray(expert * 256, (expert + 1) * 256));
    assert.equal(own > 0, count > 0);
  }
});

test('short texts and aborts end in errors', async () => {
  const model = await randomModelFile({ architecture: 'llama', layers: 1 });
  for (const [options, code] of [
    [{ text: 'abc' }, 'usage'],
    [{ signal: AbortSignal.abort() }, 'aborted'],
  ] as const) {
    await assert.rejects(
      collectImportance({ ...settings, model, ...options }),
      (error) => PacelineError.is(error) && error.code === code,
    );
  }
});
