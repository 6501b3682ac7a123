/**
 * Block drafters against libllama, which reads the same file: the same context rows and the same block, every guess
 * following the likeliest before it, as libllama's own graph has it.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { RollingRows } from '../../src/cache/rolling-rows.js';
import { Backend } from '../../src/ggml/backend.js';
import type { Graph } from '../../src/ggml/graph.js';
import { GgmlType } from '../../src/ggml/types.js';
import { Workspace } from '../../src/ggml/workspace.js';
import { readGguf } from '../../src/gguf/reader.js';
import { writeGguf } from '../../src/gguf/writer.js';
import { loadDflashModel } from '../../src/models/dflash.js';
import type { DflashModel } from '../../src/models/dflash-model.js';
import { loadLanguageModel } from '../../src/models/load.js';
import { randomModel, randomNormal } from '../../src/synthetic/random-model.js';
import { type RandomDflashOptions, randomDflash } from '../support/random-drafters.js';
import { temporaryFile } from '../support/tiny-model.js';
import { Oracle } from './libllama.js';
import { argmax } from './runner.js';

const shape = {
  ...{ layers: 2, embedding: 64, heads: 4, kvHeads: 2, headDim: 32, inner: 96, vocab: 331 },
} as const;
const taps = [1, 2] as const;
const usual = { ...shape, blockSize: 6, maskToken: 7, targetLayers: taps } as const;
/** libllama takes ends of the target only together with its context. */
const ends = { ownTable: true, ownHead: true } as const;
const last = 42;
const read = 19;

/** Context rows as a target might give them. */
function rowsOf(seed: number): Float32Array[] {
  const random = randomNormal(seed);
  const width = shape.embedding * taps.length;
  return Array.from({ length: read }, () => Float32Array.from({ length: width }, random));
}

interface Guess {
  readonly logits: Float32Array;
  readonly confidence: number | undefined;
  readonly candidates: readonly number[] | undefined;
}

/** What our model says, each guess following the likeliest before it. */
async function guesses(model: DflashModel, backend: Backend, seed: number): Promise<Guess[]> {
  using workspace = new Workspace(backend);
  const capacity = read + model.blockSize;
  const cache = new RollingRows({
    ...{ backend, layout: model.rows, capacity, type: GgmlType.F32 },
    places: model.rows.map(() => undefined),
  });
  try {
    cache.reserve(capacity);
    const graph = workspace.begin();
    const positions = (first: number, count: number) =>
      graph.indices(
        'positions',
        Array.from({ length: count }, (_, at) => first + at),
      );
    const features = Float32Array.from(rowsOf(seed).flatMap((row) => [...row]));
    model.inject(graph, {
      features: graph.input('features', GgmlType.F32, [features.length / read, read], features),
      positions: positions(0, read),
      slice: { state: cache, start: 0, count: read, past: 0 },
    });
    const { blockSize, firstGuess, maskToken, link } = model;
    const count = blockSize - firstGuess;
    const made = model.guess(graph, {
      tokens: graph.indices('block', [last, ...Array<number>(blockSize - 1).fill(maskToken)]),
      positions: positions(read, blockSize),
      slice: { state: cache, start: 0, count: blockSize, past: read },
      outputs: positions(firstGuess, count),
      window: 512,
    });
    graph.output(made.logits);
    graph.output(made.hidden);
    await graph.compute();
    const split = (flat: Float32Array) =>
      Array.from({ length: count }, (_, at) =>
        flat.slice((at * flat.length) / count, ((at + 1) * flat.length) / count),
      );
    const [logits, hidden] = [split(graph.read(made.logits)), split(graph.read(made.hidden))];
    const found: Guess[] = [];
    let before = last;
    for (const [at, own] of logits.entries()) {
      const guess = link
        ? await linked(workspace.begin(), link, [before, own, hidden[at] as Float32Array])
        : { logits: own, confidence: undefined, candidates: undefined };
      const best = argmax(guess.logits);
      before = guess.candidates?.[best] ?? best;
      found.push(guess);
    }
    return found;
  } finally {
    cache.dispose();
  }
}

async function linked(
  graph: Graph,
  link: NonNullable<DflashModel['link']>,
  [before, logits, hidden]: readonly [number, Float32Array, Float32Array],
): Promise<Guess> {
  const order = Array.from(logits.keys()).sort((a, b) => Number(logits[b]) - Number(logits[a]));
  const candidates = link.candidates === undefined ? undefined : order.slice(0, link.candidates);
  const rated = candidates ? Float32Array.from(candidates, (id) => Number(logits[id])) : logits;
  const column = (name: string, data: Float32Array) =>
    graph.input(name, GgmlType.F32, [data.length, 1], data);
  const made = link.next(graph, {
    token: graph.indices('before', [before]),
    logits: column('logits', rated),
    hidden: column('hidden', hidden),
    candidates: candidates && graph.indices('candidates', candidates),
  });
  graph.output(made.logits);
  if (made.confidence) graph.output(made.confidence);
  await graph.compute();
  return {
    logits: graph.read(made.logits),
    confidence: made.confidence && graph.read(made.confidence)[0],
    candidates,
  };
}

/** The likeliest may differ by rounding only: a margin keeps both on one path. */
const tolerance = 2e-4;

async function compare(o: Partial<RandomDflashOptions>): Promise<void> {
  const options = { ...usual, ...ends, ...o };
  const seed = o.seed ?? 1;
  const [target, draft] = [temporaryFile('oracle-target.gguf'), temporaryFile('oracle-draft.gguf')];
  await writeGguf(target, randomModel({ ...shape, architecture: 'qwen3', tied: false }));
  await writeGguf(draft, randomDflash(options));
  const backend = new Backend({ threads: 1 });
  try {
    await using gguf = await readGguf(target);
    const language = await loadLanguageModel(gguf, { backend });
    await using file = await readGguf(draft);
    const model = await loadDflashModel(file, language, { backend });
    const found = await guesses(model, backend, seed);
    using oracle = new Oracle(draft, { cacheType: GgmlType.F32 });
    const block = [last, ...Array<number>(model.blockSize - 1).fill(model.maskToken)];
    const { logits, beside } = oracle.draftBlock(rowsOf(seed), block, shape.embedding);
    let predecessor = last;
    let before: readonly number[] = [];
    for (const [at, guess] of found.entries()) {
      const row = at + model.firstGuess;
      const aside = beside[row] ?? new Float32Array();
      let wanted = logits[row] as Float32Array;
      const { candidates } = guess;
      // Theirs are in no order: which come first depends on how they were found.
      const ids = Array.from(aside.slice(0, candidates?.length));
      if (candidates !== undefined) {
        const sorted = (list: readonly number[]) => list.toSorted((a, b) => a - b);
        assert.deepEqual(sorted(ids), sorted(candidates), `row ${row}`);
        const start = ids.length * (1 + (at === 0 ? 0 : before.indexOf(predecessor)));
        wanted = Float32Array.from(candidates, (id) => aside[start + ids.indexOf(id)] ?? 0);
      }
      const range =
        Math.max(...wanted.filter(Number.isFinite)) - Math.min(...wanted.filter(Number.isFinite));
      for (const [index, value] of wanted.entries()) {
        const own = guess.logits[index] ?? Number.NaN;
        const off = Math.abs(own - value) / range;
        assert.ok(off < tolerance, `row ${row}, logit ${index}: ${own} instead of ${value}`);
      }
      const best = argmax(guess.logits);
      predecessor = candidates?.[best] ?? best;
      before = ids;
      if (guess.confidence === undefined) continue;
      const off = Math.abs(guess.confidence - (aside[0] ?? Number.NaN));
      assert.ok(off < tolerance, `confidence ${guess.confidence} instead of ${aside[0]}`);
    }
    model.dispose();
    language.dispose();
  } finally {
    backend.dispose();
  }
}

describe('block drafters against libllama', () => {
  const markov = { rank: 12, confidence: true, confidenceBias: true } as const;
  const selector = { rank: 12, most: 5, taps: 2, group: 16 } as const;
  const form = {
    ...{ queryRank: 20, rotated: 8, window: 12, ratios: [0], outputGroups: 2, outputRank: 32 },
    ...{ index: { heads: 3, keyLength: 16, most: 5 }, hashed: 0, limit: 0.7 },
  };
  const deepseek4 = {
    blocksOf: 'deepseek4',
    ...{ layers: 3, inner: 32, deepseek4: form },
    experts: [6, 2],
  } as const satisfies Partial<RandomDflashOptions>;
  it('DFlash', () => compare({ sliding: [9, [true, false]] }));
  it('DFlash with all that other families add', () =>
    compare({
      ...{ sinks: true, postNorms: true, outputScale: true, divisors: true },
      ...{ valuesOfKeys: true, activation: 'gelu_pytorch_tanh', embeddingScale: 8 },
    }));
  it('DSpark', () => compare({ markov }));
  it('DSpark whose first row is not read', () => compare({ markov, sampleFromAnchor: false }));
  it('DFlash2', () => compare({ selector, logitScale: 0.5, softcap: 20 }));
  it('DeepSeek V4’s DSpark', () => compare({ ...deepseek4, markov }));
  it('DeepSeek V4’s DSpark, another seed, first row not read', () =>
    compare({ ...deepseek4, markov, seed: 5, sampleFromAnchor: false }));
});
