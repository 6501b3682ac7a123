/**
 * What a killed process leaves of a prompt that it was reading: a state that cannot go back is saved for the
 * time being after each block, and the one before goes. Nothing is told that the text has ended here, as
 * nothing is when a process is killed; what is on the disk is looked at by another model.
 */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { it } from 'node:test';
import { Boundaries } from '../../src/engine/boundaries.js';
import type { TextCache } from '../../src/engine/text-cache.js';
import { writeGguf } from '../../src/gguf/writer.js';
import { loadModel, type Model } from '../../src/index.js';
import { type RandomModelOptions, randomModel } from '../../src/synthetic/random-model.js';
import { temporaryFile } from '../support/tiny-model.js';

const block = 64;
const slice = 48;
const shape = {
  ...{ layers: 4, embedding: 64, heads: 2, kvHeads: 1, headDim: 64, inner: 64 },
  ...{ vocab: 331, context: 2048, tied: false },
} as const;
const prompt = Array.from({ length: 1000 }, (_, at) => 262 + ((at * at * 7 + at * 3) % 60));

async function open(path: string, folder: string): Promise<Model> {
  const cache = { folder, blockTokens: block };
  return loadModel(path, { threads: 1, contextLength: 1100, cache });
}

function cacheOf({ runtime }: Model): TextCache {
  assert.ok(runtime.cache !== undefined);
  return runtime.cache;
}

function stateFiles(folder: string): number {
  return readdirSync(join(folder, 'v1'), { recursive: true }).filter((name) =>
    String(name).endsWith('.state'),
  ).length;
}

/** Tokens that a model of its own finds of the prompt. */
async function found(path: string, folder: string): Promise<number> {
  await using other = await open(path, folder);
  const text = other.runtime.createText();
  await cacheOf(other).restore(text, prompt, new AbortController().signal);
  return text.tokens.length;
}

const kinds: Readonly<Record<string, RandomModelOptions>> = {
  'a delta net': { ...shape, architecture: 'qwen35' },
  'short convolutions': { ...shape, architecture: 'lfm2' },
};

for (const [name, kind] of Object.entries(kinds)) {
  it(`a killed prefill of ${name} costs at most the last, unfilled block`, async () => {
    const path = temporaryFile(`passing-${kind.architecture}.gguf`);
    await writeGguf(path, randomModel(kind));
    const folder = temporaryFile(`passing-${kind.architecture}`);
    await using model = await open(path, folder);
    const cache = cacheOf(model);
    const text = model.runtime.createText();
    const saver = cache.follow(text, new Boundaries(prompt.length, [], 256));
    const counts: number[] = [];
    for (let start = 0; start + slice <= prompt.length - slice; start += slice) {
      await model.runtime.run(text, prompt.slice(start, start + slice));
      saver.committed(slice, { prefill: true });
      await cache.store.flush();
      counts.push(stateFiles(folder));
      if (start % (5 * slice) !== 0) continue;
      const reached = text.tokens.length;
      const there = await found(path, folder);
      assert.ok(reached - there < block, `${there} of ${reached}`);
    }
    // Those of every fourth block stay, and one for the time being.
    const stay = Math.floor(text.tokens.length / (4 * block));
    assert.ok(Math.max(...counts) <= stay + 1, counts.join());
    assert.ok(counts.at(-1) === stay || counts.at(-1) === stay + 1, counts.join());
  });
}
