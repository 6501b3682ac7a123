import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { PacelineError } from '../../src/base/errors.js';
import { dumpFeatures, usualTaps } from '../../src/convert/features.js';
import { GgmlType } from '../../src/ggml/types.js';
import { type GgufFile, readGguf } from '../../src/gguf/reader.js';
import { Oracle } from '../oracle/libllama.js';
import { randomModelFile } from './quantize-support.js';

let folder = '';
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'features-'));
});
after(() => rm(folder, { recursive: true }));

const prompts = ['abc', 'xyz', 'hello', 'letters'].map((text) => ({ text }));

async function bytesOf(file: GgufFile, name: string): Promise<Uint8Array> {
  const info = file.tensors.get(name);
  assert.ok(info !== undefined, name);
  const data = new Uint8Array(info.bytes);
  await file.readTensor(info, data);
  return data;
}

async function integers(file: GgufFile, name: string): Promise<number[]> {
  return [...new Int32Array((await bytesOf(file, name)).buffer)];
}

async function bf16(file: GgufFile, name: string): Promise<Float32Array> {
  const halves = new Uint16Array((await bytesOf(file, name)).buffer);
  return new Float32Array(Uint32Array.from(halves, (half) => half << 16).buffer);
}

test('rows are those that enter the head: with it they give libllama’s logits', async () => {
  const model = await randomModelFile({ architecture: 'llama', layers: 4, tied: false });
  const out = join(folder, 'rows');
  const texts = ['the quick brown fox'];
  const result = await dumpFeatures({
    ...{ model, folder: out, prompts, texts, contextLength: 40, taps: [1, 3, 4], threads: 1 },
  });
  assert.deepEqual([result.texts, result.shards, result.taps], [5, 1, [1, 3, 4]]);
  await using shard = await readGguf(join(out, 'shard-00000.gguf'));
  await using target = await readGguf(join(out, 'target.gguf'));
  const [ids, offsets, first] = await Promise.all(
    ['ids', 'offsets', 'first'].map((name) => integers(shard, name)),
  );
  assert.ok(ids !== undefined && offsets !== undefined && first !== undefined);
  assert.deepEqual([offsets.length, first.length, offsets.at(-1)], [6, 5, ids.length]);
  assert.equal(first[4], 0, 'all of a text that was read is learnt');
  const hidden = await bf16(shard, 'hidden');
  const width = hidden.length / ids.length;
  assert.equal((await bf16(shard, 'taps')).length, 3 * hidden.length);
  const head = new Uint16Array((await bytesOf(target, 'output.weight')).buffer);
  assert.deepEqual(target.metadata.get('general.architecture')?.value, 'llama');
  const weights = Float64Array.from(head, halfToNumber);

  using oracle = new Oracle(model, { cacheType: GgmlType.F32 });
  const [begin = 0, end = 0] = offsets;
  const expected = oracle.decode(ids.slice(begin, end));
  assert.ok(end - begin > 20, 'the model goes on from its prompt');
  for (const [row, logits] of expected.entries()) {
    const spread = Math.max(...logits) - Math.min(...logits);
    for (let token = 0; token < logits.length; token += 7) {
      let sum = 0;
      for (let i = 0; i < width; i++) {
        sum +=
          (weights[token * width + i] as number) * (hidden[(begin + row) * width + i] as number);
      }
      const error = Math.abs(sum - (logits[token] as number)) / spread;
      assert.ok(error < 0.02, `row ${row} token ${token}: off by ${error} of the range`);
    }
  }
});

function halfToNumber(half: number): number {
  const [sign, exponent, fraction] = [half >> 15, (half >> 10) & 31, half & 1023];
  const size = exponent === 0 ? fraction / 2 ** 24 : (1 + fraction / 1024) * 2 ** (exponent - 15);
  return sign === 1 ? -size : size;
}

test('a run that was stopped goes on, and ends with the same bytes', async () => {
  const model = await randomModelFile({ architecture: 'llama', layers: 4, tied: false });
  const settings = { model, prompts, contextLength: 24, shardTexts: 2, threads: 1 };
  const whole = join(folder, 'whole');
  const { tokens } = await dumpFeatures({ ...settings, folder: whole });
  assert.ok(tokens > 0);
  const parts = join(folder, 'parts');
  const stop = new AbortController();
  const stopped = dumpFeatures({
    ...{ ...settings, folder: parts, signal: stop.signal },
    onProgress: ({ task, done }) => task === 'recording' && done === 3 && stop.abort(),
  });
  await assert.rejects(stopped, (error) => PacelineError.is(error) && error.code === 'aborted');
  assert.deepEqual((await readdir(parts)).sort(), [
    'features.json',
    'shard-00000.gguf',
    'target.gguf',
  ]);
  const { mtimeMs } = await stat(join(parts, 'shard-00000.gguf'));
  await dumpFeatures({ ...settings, folder: parts });
  assert.equal((await stat(join(parts, 'shard-00000.gguf'))).mtimeMs, mtimeMs);
  for (const name of ['features.json', 'shard-00000.gguf', 'shard-00001.gguf']) {
    assert.deepEqual(await readFile(join(parts, name)), await readFile(join(whole, name)), name);
  }
  assert.equal((await dumpFeatures({ ...settings, folder: parts })).tokens, 0);
});

test('a folder of other features, taps that are not there, and nothing to read are refused', async () => {
  const model = await randomModelFile({ architecture: 'llama', layers: 4, tied: false });
  const settings = {
    model,
    folder: join(folder, 'refused'),
    prompts,
    contextLength: 24,
    threads: 1,
  };
  await dumpFeatures(settings);
  for (const other of [
    { ...settings, taps: [1] },
    { ...settings, taps: [5] },
    { ...settings, taps: [0] },
    { ...settings, taps: [2, 2] },
    { ...settings, prompts: [] },
    { ...settings, prompts: [{ text: 'a'.repeat(100) }] },
  ]) {
    await assert.rejects(
      dumpFeatures(other),
      (error) => PacelineError.is(error) && error.code === 'usage',
    );
  }
});

test('taps are chosen as DFlash’s authors do', () => {
  assert.deepEqual(usualTaps(36), [2, 10, 18, 26, 34]);
  assert.deepEqual(usualTaps(24), [2, 7, 12, 17, 22]);
  assert.deepEqual(usualTaps(2), [2]);
});
