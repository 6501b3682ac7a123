/** A model with some of its experts: the view of its file, the file that `prune` writes, and what is refused. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { permutations } from '../../src/bench/experts/random.js';
import { ExpertSelector } from '../../src/bench/experts/select.js';
import { pruneModel } from '../../src/convert/prune.js';
import { loadModel } from '../../src/engine/load.js';
import { GgmlType } from '../../src/ggml/types.js';
import { readGguf } from '../../src/gguf/reader.js';
import { writeGguf } from '../../src/gguf/writer.js';
import {
  type ExpertSubset,
  type LayerMixture,
  mixturesOf,
  readSubset,
  routersDigest,
  writeSubset,
} from '../../src/models/expert-subset.js';
import { type RandomModelOptions, randomModel } from '../../src/synthetic/random-model.js';
import { shapes } from '../oracle/shapes.js';
import { refused } from './support.js';

const folder = mkdtempSync(join(tmpdir(), 'paceline-subset-'));
after(() => rmSync(folder, { recursive: true }));

/** Writes a random model. */
async function write(name: string, options: RandomModelOptions): Promise<string> {
  const path = join(folder, `${name}.gguf`);
  await writeGguf(path, randomModel({ vocab: 331, ...options }));
  return path;
}

/** A subset that keeps a number of experts of each layer, not the first ones. */
async function subsetFor(
  model: string,
  keep: (mixture: LayerMixture) => number,
): Promise<ExpertSubset> {
  await using file = await readGguf(model);
  const architecture = file.string('general.architecture');
  const mixtures = mixturesOf(file);
  const layers = file.integer(`${architecture}.block_count`);
  const draw = permutations(7);
  const kept = Array.from({ length: layers }, (_, layer): number[] => {
    const mixture = mixtures.find((each) => each.layer === layer);
    if (mixture === undefined) return [];
    const ids = draw(mixture.experts).slice(0, keep(mixture));
    return ids.sort((a, b) => a - b);
  });
  return {
    ...{ format: 'paceline-experts', version: 1, architecture, method: 'random', kept },
    experts: kept.map((_, layer) => mixtures.find((one) => one.layer === layer)?.experts ?? 0),
    routers: await routersDigest(file, mixtures),
  };
}

async function text(model: string, experts?: string, expertMemory?: number) {
  const options = { contextLength: 128, threads: 2, experts, expertMemory };
  await using loaded = await loadModel(model, options);
  const { tokens, logprobs } = await loaded.generate('a few words and numbers 1234', {
    ...{ maxTokens: 16, temperature: 1, seed: 3, draft: 'none', logprobs: 5 },
  });
  const { weightBytes, experts: filed } = loaded.info;
  return { made: { tokens, logprobs }, weightBytes, filed };
}

/** Every architecture with mixtures, in small. */
const mixtures: Readonly<Record<string, RandomModelOptions>> = {
  deepseek: { ...shapes.deepseek?.[1], architecture: 'deepseek' },
  deepseek2: { ...shapes.deepseek2?.[1], architecture: 'deepseek2' },
  'deepseek4, whose first layers choose by the token': {
    ...{ ...shapes.deepseek4?.[1], architecture: 'deepseek4' },
  },
  gemma4: { ...shapes.gemma4?.[1], architecture: 'gemma4' },
  glm4moe: { ...shapes.glm4moe?.[1], architecture: 'glm4moe' },
  'gpt-oss': { ...shapes['gpt-oss']?.[1], architecture: 'gpt-oss' },
  granitemoe: { ...shapes.granitemoe?.[1], architecture: 'granitemoe' },
  lfm2moe: { ...shapes.lfm2moe?.[1], architecture: 'lfm2moe' },
  llama: { architecture: 'llama', experts: [6, 2], tied: false },
  olmoe: { ...shapes.olmoe?.[1], architecture: 'olmoe' },
  qwen35moe: { ...shapes.qwen35moe?.[1], architecture: 'qwen35moe' },
  qwen3moe: { ...shapes.qwen3moe?.[1], architecture: 'qwen3moe' },
};

describe('a subset of experts and the file without the others give the same text', () => {
  for (const [name, options] of Object.entries(mixtures)) {
    it(name, async () => {
      const type = name === 'gpt-oss' ? GgmlType.MXFP4 : GgmlType.Q8_0;
      const model = await write(name, { ...options, type });
      // As many in all layers, and another number in each.
      const both = ['deepseek', 'gemma4', 'gpt-oss'].includes(name);
      for (const uneven of both ? [0, 1] : [1]) {
        const subset = await subsetFor(model, ({ experts, used, layer, byToken }) =>
          byToken ? experts : Math.max(used, experts - 1 - uneven * (layer % 2)),
        );
        const path = join(folder, `${name}.json`);
        await writeSubset(path, subset);
        assert.deepEqual(await readSubset(path), subset);
        const output = join(folder, `${name}-pruned.gguf`);
        const { bytes, kept, experts } = await pruneModel({
          ...{ model, subset: path, output, replace: true },
        });
        assert.ok(kept < experts && bytes < statSync(model).size);
        const whole = await text(model);
        const masked = await text(model, path);
        assert.deepEqual(await text(output), masked);
        assert.ok(masked.weightBytes < whole.weightBytes, 'only the chosen experts are loaded');
        assert.notDeepEqual(masked.made, whole.made);
        // The same where experts stay in the file: all that are kept, and fewer than are.
        const filed = await text(model, path, 1e9);
        assert.deepEqual(filed.made, masked.made);
        assert.equal(filed.filed?.count, kept);
        const some = await text(model, path, Math.floor((filed.filed?.whole ?? 0) * 0.8));
        assert.deepEqual(some.made, masked.made);
        assert.ok(some.filed && some.filed.held < kept);
      }
    });
  }
});

describe('where tokens choose the experts of a layer', async () => {
  const model = await write('by-token', {
    ...{ ...shapes.deepseek4?.[1], architecture: 'deepseek4', type: GgmlType.Q8_0 },
  });
  it('their use is counted, and all of them are chosen and stay', async () => {
    const options = { model, text: 'what is read here\0is read twice', contextLength: 32 };
    using selector = await ExpertSelector.open(options);
    assert.deepEqual(
      selector.mixtures.map(({ byToken }) => byToken),
      [true, true, false, false],
    );
    const { layers } = await selector.statistics();
    const sum = (numbers: Float64Array) => numbers.reduce((a, b) => a + b, 0);
    for (const { used, byToken, mass, chosen } of layers) {
      assert.ok(Math.abs(sum(mass) - 1) < 1e-6 && Math.abs(sum(chosen) - used) < 1e-6);
      for (const [id, share] of byToken ? mass.entries() : []) {
        assert.ok(Math.abs(share - (chosen[id] as number) / used) < 1e-9);
      }
    }
    for (const method of ['layerwise', 'global', 'easy-ep', 'random'] as const) {
      for (const uneven of [false, true]) {
        const { kept } = await selector.select({ keep: { count: 5 }, method, uneven });
        assert.deepEqual(kept.slice(0, 2), Array(2).fill([0, 1, 2, 3, 4, 5, 6, 7]), method);
        assert.equal(kept.flat().length, 2 * 8 + 2 * 5);
      }
    }
    const listed = { counts: [8, 8, 3, 4] };
    await selector.select({ keep: listed, method: 'global' });
    await assert.rejects(
      selector.select({ keep: { counts: [7, 8, 3, 4] }, method: 'global' }),
      refused('usage', /Layer 0 has to keep all of its 8 experts/),
    );
  });
  it('a subset that leaves some out is refused', async () => {
    const path = join(folder, 'by-token.json');
    await writeSubset(path, await subsetFor(model, ({ experts }) => experts - 1));
    const said = /layer 0 has to keep all of its 8 experts: tokens choose them/;
    await assert.rejects(loadModel(model, { experts: path }), refused('usage', said));
  });
});

describe('a subset that does not fit is refused', async () => {
  const options = { ...mixtures.olmoe, layers: 2 } as RandomModelOptions;
  const model = await write('olmoe-2', options);
  const good = await subsetFor(model, ({ experts }) => experts - 2);
  const check = async (change: Partial<ExpertSubset>, ...said: readonly RegExp[]) => {
    const path = join(folder, 'changed.json');
    await writeSubset(path, { ...good, ...change });
    await assert.rejects(loadModel(model, { experts: path }), refused('usage', ...said));
  };
  it('of another architecture', () => check({ architecture: 'qwen3moe' }, /for "qwen3moe"/));
  it('of another depth', () => check({ kept: good.kept.slice(1) }, /1 layers, and there are 2/));
  it('of other numbers of experts', () => check({ experts: [9, 8] }, /layer 0 has 8 experts/));
  it('with fewer than a token goes through', () =>
    check({ kept: [[3], [1, 2, 3]] }, /layer 0 keeps 1 experts, and a token goes through 2/));
  it('with an expert that is not there', () =>
    check(
      {
        kept: [
          [1, 8],
          [1, 2],
        ],
      },
      /layer 0 has no expert 8/,
    ));
  it('with an expert named twice', () =>
    check(
      {
        kept: [
          [1, 1],
          [1, 2],
        ],
      },
      /layer 0 are not in ascending order/,
    ));
  it('of another training', async () => {
    const other = await write('olmoe-other', { ...options, seed: 99 });
    const path = join(folder, 'other.json');
    await writeSubset(path, good);
    await assert.rejects(loadModel(other, { experts: path }), refused('usage', /routers/));
  });
  it('for a model without experts', async () => {
    const dense = await write('dense', { architecture: 'llama' });
    const path = join(folder, 'dense.json');
    await writeSubset(path, good);
    await assert.rejects(loadModel(dense, { experts: path }), refused('usage', /no mixtures/));
  });
  it('that is no such file', async () => {
    const path = join(folder, 'broken.json');
    for (const content of ['', '[]', '{"format":"paceline-experts"}', '{"kept":[[1e99]]}']) {
      writeFileSync(path, content);
      await assert.rejects(loadModel(model, { experts: path }), refused('broken-file', /experts/));
    }
    const missing = join(folder, 'missing.json');
    await assert.rejects(loadModel(model, { experts: missing }), refused('model-not-found'));
  });
});
