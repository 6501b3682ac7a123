/** What drafters take of memory is told before loading, is what they hold, and does not grow with the context. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { draftMemory } from '../../src/engine/draft-memory.js';
import { type GgufFile, readGguf } from '../../src/gguf/reader.js';
import { summarize } from '../../src/gguf/summary.js';
import { writeGguf } from '../../src/gguf/writer.js';
import { loadModel, PacelineError } from '../../src/index.js';
import { loadLanguageModel } from '../../src/models/load.js';
import { randomDflash, randomModelWithMtp, randomMtp } from '../support/random-drafters.js';
import { temporaryFile } from '../support/tiny-model.js';

const shape = {
  ...{ layers: 3, embedding: 64, heads: 4, kvHeads: 2, headDim: 32, inner: 96, vocab: 331 },
} as const;
const [target, dflash, dspark, mtp] = ['target', 'dflash', 'dspark', 'mtp'].map((kind) =>
  temporaryFile(`memory-${kind}.gguf`),
) as [string, string, string, string];
await writeGguf(target, randomModelWithMtp(shape));
await writeGguf(mtp, randomMtp(shape));
await writeGguf(
  dflash,
  randomDflash({ ...shape, layers: 2, blockSize: 6, maskToken: 7, targetLayers: [3, 1] }),
);
await writeGguf(
  dspark,
  randomDflash({
    ...{ ...shape, layers: 2, blockSize: 6, maskToken: 7, targetLayers: [3, 1] },
    ...{ blocksOf: 'deepseek4', experts: [4, 2], markov: { rank: 8 } },
    deepseek4: {
      ...{ queryRank: 8, rotated: 4, window: 9, ratios: [0], outputGroups: 1, outputRank: 8 },
      ...{ index: { heads: 1, keyLength: 8, most: 4 }, hashed: 0, limit: 1 },
    },
  }),
);

/** Bytes of a row of keys and values of one layer, in F16. */
const row = 2 * 2 * 32 * 2;

async function needs(path: string, contextLength: number, window?: number) {
  await using file = await readGguf(path);
  return draftMemory(file, { contextLength, window });
}

describe('memory of drafters', () => {
  it('is a function of the window once the context is longer', async () => {
    for (const context of [2048, 8192, 131072]) {
      const [block, draft] = [await needs(mtp, context), await needs(dflash, context)];
      assert.ok(block?.name === 'mtp' && draft?.name === 'dflash');
      // 512 rows of floats, and room for two windows and a guess.
      assert.equal(block.stateBytes, 512 * 64 * 4 + (1024 + 8) * row);
      assert.equal(draft.stateBytes, 512 * 2 * 64 * 4 + (1024 + 6) * 2 * row);
    }
    assert.equal((await needs(mtp, 100))?.stateBytes, 100 * 64 * 4 + 108 * row);
    assert.equal((await needs(mtp, 8192, 32))?.stateBytes, 32 * 64 * 4 + 72 * row);
  });

  it('is what the loaded drafters hold', async () => {
    for (const [file, draftWindow] of [
      [dflash, 16],
      [dflash, 200],
      [dspark, 200],
    ] as const) {
      const options = { threads: 1, contextLength: 300, draftModels: [file], draftWindow };
      await using model = await loadModel(target, options);
      const { drafters } = model.info;
      assert.deepEqual(
        drafters.map(({ name }) => name),
        ['mtp', 'dflash'],
      );
      for (const { name, stateBytes, weightBytes } of drafters) {
        const source = model.runtime.drafterSources.find((candidate) => candidate.name === name);
        assert.ok(source);
        assert.equal(source.needs.window, draftWindow);
        const drafter = source.open();
        const held = drafter.bytes;
        drafter.dispose();
        // Buffers are aligned.
        assert.ok(held >= stateBytes && held < stateBytes + 1024, `${name}: ${held}`);
        assert.ok(weightBytes > 50_000);
      }
    }
  });

  it('counts a block behind a model once: its weights are the model’s, its cache is not', async () => {
    await using file = await readGguf(target);
    const { cache, layers } = summarize(file);
    assert.equal(cache?.length, 3);
    assert.equal(layers, 4);
    const own = draftMemory(file, { contextLength: 100 });
    await using apart = await readGguf(mtp);
    assert.deepEqual(own, draftMemory(apart, { contextLength: 100 }));
    assert.equal(own?.weightBytes, sum(apart));
  });

  it('is part of what must fit before anything is loaded', async () => {
    await using file = await readGguf(target);
    const draftBytes = 2 ** 30;
    const options = { contextLength: 64, memory: { total: 2 ** 31, available: 2 ** 29 } };
    const backend = undefined as never; // nothing may be allocated
    await assert.rejects(
      loadLanguageModel(file, { backend, ...options, draftBytes }),
      (error) =>
        PacelineError.is(error) &&
        error.code === 'memory' &&
        /drafters 1024 MiB/.test(error.message) &&
        error.details.drafters === draftBytes,
    );
  });

  it('has no drafter to count where there is none', async () => {
    await using file = await readGguf(mtp);
    const tensors = new Map([...file.tensors].filter(([name]) => !name.includes('nextn')));
    const bare = Object.create(file, { tensors: { value: tensors } }) as GgufFile;
    assert.equal(draftMemory(bare, { contextLength: 100 }), undefined);
  });

  it('refuses a window that is none', async () => {
    for (const draftWindow of [0, -1, 1.5]) {
      await assert.rejects(
        loadModel(target, { draftWindow }),
        (error) => PacelineError.is(error) && error.code === 'usage',
      );
    }
  });
});

function sum(file: GgufFile): number {
  return [...file.tensors.values()].reduce((total, { bytes }) => total + bytes, 0);
}
