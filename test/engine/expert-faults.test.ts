/** Experts that stay in their file, when something happens to that file: a typed error, never another text. */
import assert from 'node:assert/strict';
import {
  copyFile,
  open,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  truncate,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import type { ErrorCode } from '../../src/base/errors.js';
import { GgmlType } from '../../src/ggml/types.js';
import { readGguf } from '../../src/gguf/reader.js';
import { writeGguf } from '../../src/gguf/writer.js';
import { loadModel, type Model, PacelineError } from '../../src/index.js';
import { randomModel } from '../../src/synthetic/random-model.js';
import { temporaryFile } from '../support/tiny-model.js';

const shape = {
  ...{ architecture: 'olmoe', layers: 3, embedding: 256, heads: 4, kvHeads: 4, headDim: 64 },
  ...{ inner: 256, experts: [16, 2] as const, vocab: 331, context: 512, tied: false },
  type: GgmlType.Q4_K,
} as const;
/** So that most passes read. */
const expertMemory = 700_000;
const prompt = Array.from({ length: 30 }, (_, at) => 20 + ((at * 31) % 280));
const settings = { maxTokens: 24, temperature: 0.8, seed: 4, draft: 'none' } as const;

describe('the file of experts', () => {
  const source = temporaryFile('expert-faults.gguf');
  let text: readonly number[];
  before(async () => {
    await writeGguf(source, randomModel(shape));
    const model = await loadModel(source, { threads: 2 });
    text = (await model.generate(prompt, settings)).tokens;
    await model.dispose();
  });

  /** A model over a file of its own, which has made a part of the text. */
  async function running(name: string): Promise<{ model: Model; path: string }> {
    const path = temporaryFile(name);
    await copyFile(source, path);
    const model = await loadModel(path, { threads: 2, expertMemory });
    const { tokens } = await model.generate(prompt, { ...settings, maxTokens: 6 });
    assert.deepEqual(tokens, text.slice(0, 6));
    return { model, path };
  }
  /** The text, or the code of the error. */
  async function outcome(model: Model): Promise<readonly number[] | ErrorCode> {
    try {
      return (await model.generate(prompt, settings)).tokens;
    } catch (error) {
      assert.ok(PacelineError.is(error), String(error));
      assert.notEqual(error.hint, undefined);
      return error.code;
    }
  }

  it('that is cut off is an error, and again', async () => {
    const { model, path } = await running('cut.gguf');
    await truncate(path, 200_000);
    assert.equal(await outcome(model), 'broken-file');
    assert.equal(await outcome(model), 'broken-file');
    await model.dispose();
  });

  it('that is replaced by another is an error', async () => {
    const { model, path } = await running('replaced.gguf');
    const other = temporaryFile('other.gguf');
    await copyFile(source, other);
    const handle = await open(other, 'r+');
    await handle.write(new Uint8Array(300_000).fill(5), 0, 300_000, 1_500_000);
    await handle.close();
    await rename(other, path);
    assert.equal(await outcome(model), 'broken-file');
    await model.dispose();
  });

  it('that is removed is an error', async () => {
    const { model, path } = await running('removed.gguf');
    await rm(path);
    assert.equal(await outcome(model), 'broken-file');
    await model.dispose();
  });

  it('that is written to is an error, also when its times are put back', async () => {
    const { model, path } = await running('written.gguf');
    const { atime, mtime } = await stat(path);
    const file = await readGguf(path);
    const expert = file.tensors.get('blk.1.ffn_up_exps.weight');
    await file.close();
    assert.ok(expert);
    const handle = await open(path, 'r+');
    await handle.write(new Uint8Array(expert.bytes).fill(3), 0, expert.bytes, expert.offset);
    await handle.close();
    await utimes(path, atime, mtime);
    assert.equal(await outcome(model), 'broken-file');
    await model.dispose();
  });

  it('with values that are not finite is refused when they are read', async () => {
    const path = temporaryFile('infinite.gguf');
    await copyFile(source, path);
    const file = await readGguf(path);
    const expert = file.tensors.get('blk.2.ffn_down_exps.weight');
    await file.close();
    assert.ok(expert);
    const handle = await open(path, 'r+');
    await handle.write(new Uint8Array(expert.bytes).fill(0xff), 0, expert.bytes, expert.offset);
    await handle.close();
    const model = await loadModel(path, { threads: 2, expertMemory });
    assert.equal(await outcome(model), 'bad-weights');
    await model.dispose();
  });

  it('is not asked for what is in memory, and a failed text does not stop the next one', async () => {
    const { model, path } = await running('back.gguf');
    const aside = temporaryFile('aside.gguf');
    await rename(path, aside);
    assert.equal(await outcome(model), 'broken-file');
    await model.dispose();
    await rename(aside, path);
    const again = await loadModel(path, { threads: 2, expertMemory: 1e9 });
    assert.deepEqual(await outcome(again), text);
    await truncate(path, 100_000);
    const read = again.experts?.bytesRead;
    assert.deepEqual(await outcome(again), text, 'all experts are there');
    assert.equal(again.experts?.bytesRead, read);
    await again.dispose();
  });

  it('is read no more when a text is given up', async () => {
    const { model } = await running('aborted.gguf');
    for (const after of [0, 1, 5]) {
      const controller = new AbortController();
      setTimeout(() => controller.abort(), after);
      await model.generate(prompt, { ...settings, signal: controller.signal });
    }
    assert.deepEqual(await outcome(model), text);
    await model.dispose();
  });
});

describe('what is remembered of experts', () => {
  const source = temporaryFile('expert-uses.gguf');
  const folder = temporaryFile('uses-cache');
  const memory = 1_400_000;
  const once = async (check: (model: Model) => void | Promise<void> = () => {}) => {
    const model = await loadModel(source, { expertMemory: memory, cache: { folder } });
    try {
      await check(model);
      return (await model.generate(prompt, { ...settings, cache: false })).tokens;
    } finally {
      await model.dispose();
    }
  };

  it('is read again, whatever became of the file, and changes no text', async () => {
    await writeGguf(source, randomModel(shape));
    const text = await once();
    const files = join(folder, 'experts');
    const [name, ...more] = await readdir(files);
    assert.ok(name && more.length === 0);
    const kept = await readFile(join(files, name), 'utf8');
    const warm = await once(async (model) => {
      for (let waits = 0; (model.experts?.bytesRead ?? 0) === 0 && waits < 500; waits++) {
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      assert.ok((model.experts?.bytesRead ?? 0) > 0 && model.experts?.asked === 0);
    });
    assert.deepEqual(warm, text);
    for (const content of [
      '',
      '{',
      '{"version":1,"uses":[[1],[2]]}',
      '{"version":1,"uses":[["x"]]}',
    ]) {
      await writeFile(join(files, name), content);
      assert.deepEqual(await once(), text);
    }
    assert.equal(
      JSON.parse(await readFile(join(files, name), 'utf8')).uses.length,
      JSON.parse(kept).uses.length,
    );
  });
});
