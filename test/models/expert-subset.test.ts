/** A model with some of its experts: the view of its file, the file that `prune` writes, and what is refused. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { permutations } from '../../src/bench/experts/random.js';
import { pruneModel } from '../../src/convert/prune.js';
import { loadModel } from '../../src/engine/load.js';
import { GgmlType } from '../../src/ggml/types.js';
import { readGguf } from '../../src/gguf/reader.js';
import { writeGguf } from '../../src/gguf/writer.js';
import {
  type ExpertSubset,
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
  keep: (experts: number, used: number, layer: number) => number,
): Promise<ExpertSubset> {
  await using file = await readGguf(model);
  const architecture = file.string('general.architecture');
  const mixtures = mixturesOf(file);
  const layers = file.integer(`${architecture}.block_count`);
  const draw = permutations(7);
  const kept = Array.from({ length: layers }, (_, layer): number[] => {
    const mixture = mixtures.find((each) => each.layer === layer);
    if (mixture === undefined) return [];
    const { experts, used } = mixture;
    const ids = draw(experts).slice(0, keep(experts, used, layer));
    return ids.sort((a, b) => a - b);
  });
  return {
    ...{ format: 'paceline-experts', version: 1, architecture, method: 'random', kept },
    experts: kept.map((_, layer) => mixtures.find((one) => one.layer === layer)?.experts ?? 0),
    routers: await routersDigest(file),
  };
}

async function text(model: string, experts?: string) {
  await using loaded = await loadModel(model, { contextLength: 128, threads: 2, experts });
  const { tokens } = await loaded.generate('a few words and numbers 1234', {
    ...{ maxTokens: 16, temperature: 1, seed: 3, draft: 'none', logprobs: 5 },
  });
  const { weightBytes } = loaded.info;
  return { tokens, weightBytes };
}

/** Every architecture with mixtures, in small. */
const mixtures: Readonly<Record<string, RandomModelOptions>> = {
  deepseek: { ...shapes.deepseek?.[1], architecture: 'deepseek' },
  deepseek2: { ...shapes.deepseek2?.[1], architecture: 'deepseek2' },
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
        const subset = await subsetFor(model, (experts, used, layer) =>
          Math.max(used, experts - 1 - uneven * (layer % 2)),
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
        assert.notDeepEqual(masked.tokens, whole.tokens);
      }
    });
  }
});

describe('a subset that does not fit is refused', async () => {
  const options = { ...mixtures.olmoe, layers: 2 } as RandomModelOptions;
  const model = await write('olmoe-2', options);
  const good = await subsetFor(model, (experts) => experts - 2);
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
