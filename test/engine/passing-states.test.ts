/**
 * What a killed process leaves of a prompt that it was reading: a state that cannot go back, and the rows of
 * windows, are saved for the time being after each block, and those before go. Nothing is told that the text has ended here, as
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

const slice = 48;
const shape = {
  ...{ layers: 4, embedding: 64, heads: 2, kvHeads: 1, headDim: 64, inner: 64 },
  ...{ vocab: 331, context: 2048, tied: false },
} as const;
const prompt = Array.from({ length: 1000 }, (_, at) => 262 + ((at * at * 7 + at * 3) % 60));
/** Of a prompt so long, no place so far is near its end. */
const farEnd = 4000;

async function open(path: string, folder: string, blockTokens: number): Promise<Model> {
  const cache = { folder, blockTokens };
  return loadModel(path, { threads: 1, contextLength: 1100, cache });
}

function cacheOf({ runtime }: Model): TextCache {
  assert.ok(runtime.cache !== undefined);
  return runtime.cache;
}

function files(folder: string, kind: 'state' | 'window'): number {
  return readdirSync(join(folder, 'v1'), { recursive: true }).filter((name) =>
    String(name).endsWith(`.${kind}`),
  ).length;
}

/** Tokens that a model of its own finds of the prompt. */
async function found(path: string, folder: string, block: number): Promise<number> {
  await using other = await open(path, folder, block);
  const text = other.runtime.createText();
  await cacheOf(other).restore(text, prompt, new AbortController().signal);
  return text.tokens.length;
}

interface Kind {
  readonly model: RandomModelOptions;
  /** Tokens of a block. */
  readonly block: number;
  /** Most files of each kind that stay for a text of so many tokens. */
  readonly states: (length: number) => number;
  readonly windows: (length: number) => number;
}

const none = (): number => 0;
/** One after every fourth block, and one for the time being. */
const everyFourth =
  (block: number) =>
  (length: number): number =>
    Math.floor(length / (4 * block)) + 1;
/** The two blocks before every fourth one's end, and the three that the last 151 positions reach into. */
const windows = (length: number): number => 2 * Math.floor(length / 256) + 3;

const kinds: Readonly<Record<string, Kind>> = {
  'a delta net': {
    model: { ...shape, architecture: 'qwen35' },
    ...{ block: 64, states: everyFourth(64), windows: none },
  },
  'short convolutions': {
    model: { ...shape, architecture: 'lfm2' },
    ...{ block: 64, states: everyFourth(64), windows: none },
  },
  'sliding windows': {
    model: { ...shape, architecture: 'gemma3', tied: true, window: [24, 2] },
    ...{ block: 64, states: none, windows },
  },
  'rows of blocks beside windows': {
    model: {
      ...{
        ...shape,
        architecture: 'deepseek4',
        layers: 3,
        experts: [4, 2],
        headDim: 32,
        inner: 32,
      },
      deepseek4: {
        ...{ queryRank: 32, rotated: 8, window: 20, ratios: [4, 128, 0], outputGroups: 1 },
        ...{ index: { heads: 2, keyLength: 16, most: 8 }, outputRank: 32, hashed: 1, limit: 2 },
      },
    },
    ...{ block: 128, states: everyFourth(128) },
    // Of every fourth block's end, of the last states', and of what came behind the last one.
    windows: (length) => 2 * Math.floor(length / 512) + 4,
  },
};

for (const [name, kind] of Object.entries(kinds)) {
  it(`a killed prefill of ${name} costs at most the last, unfilled block`, async () => {
    const { block } = kind;
    const { architecture } = kind.model;
    const path = temporaryFile(`passing-${architecture}.gguf`);
    await writeGguf(path, randomModel(kind.model));
    const folder = temporaryFile(`passing-${architecture}`);
    await using model = await open(path, folder, block);
    const cache = cacheOf(model);
    const text = model.runtime.createText();
    const saver = cache.follow(text, new Boundaries(farEnd, [], 256));
    for (let start = 0; start + slice <= prompt.length - slice; start += slice) {
      await model.runtime.run(text, prompt.slice(start, start + slice));
      saver.committed(slice, { prefill: true });
      await cache.store.flush();
      const reached = text.tokens.length;
      assert.ok(files(folder, 'state') <= kind.states(reached), `states at ${reached}`);
      assert.ok(
        files(folder, 'window') <= kind.windows(reached),
        `${files(folder, 'window')} windows at ${reached}`,
      );
      if (start % (5 * slice) !== 0) continue;
      const there = await found(path, folder, block);
      assert.ok(reached - there < block, `${there} of ${reached}`);
    }
    // What is there for good has stayed.
    const { length } = text.tokens;
    assert.ok(files(folder, 'state') >= kind.states(length) - kind.states(0));
    assert.ok(files(folder, 'window') >= kind.windows(length) - kind.windows(0));
  });
}
