/** One comparison of a block drafter with its reference: several rounds by the engine's own loop, partial acceptance. */
import assert from 'node:assert/strict';
import { dflashSource } from '../../src/decode/dflash.js';
import { readGguf } from '../../src/gguf/reader.js';
import { loadModel } from '../../src/index.js';
import { loadDflashModel } from '../../src/models/dflash.js';
import { type RandomModelOptions, randomModel } from '../../src/synthetic/random-model.js';
import { type RandomDflashOptions, randomDflash } from '../support/random-drafters.js';
import { type BlockAnswer, dflashAnswer } from './dflash-reference.js';
import { forcedRun } from './forced-run.js';
import { gemma4Rows } from './gemma4-reference.js';
import {
  accept,
  check,
  checkWork,
  type DflashNotes,
  notingDflash,
  prompt,
  tolerance,
  written,
} from './neural-support.js';
import { qwen35Rows } from './qwen35-reference.js';
import { type ReferenceInput, type TargetRows, Tensors, targetRows } from './reference.js';

const shape = {
  ...{ layers: 4, embedding: 64, heads: 4, kvHeads: 2, headDim: 32, inner: 96, vocab: 331 },
} as const;
const usual = {
  ...shape,
  ...{ layers: 2, blockSize: 6, maskToken: 7, targetLayers: [1, 2, 4] },
} as const;

export interface Target {
  readonly model: RandomModelOptions;
  readonly rows: (tensors: Tensors, tokens: readonly number[]) => TargetRows;
}

export interface DflashCase extends Partial<RandomDflashOptions> {
  readonly lookBack?: number;
  readonly prefillChunk?: number;
  readonly draftMax?: number;
  /** Default: a qwen3. */
  readonly of?: Target;
  /** The reference; default: of blocks that are Qwen3's. */
  readonly answer?: typeof dflashAnswer;
  /** What logits may be off by, of their range. */
  readonly off?: number;
}

const plain: Target = {
  model: { ...shape, architecture: 'qwen3', tied: false },
  rows: (tensors, tokens) => targetRows(tensors, shape, tokens),
};

export async function dflashCase(o: DflashCase): Promise<void> {
  const { lookBack: window = 512, prefillChunk, draftMax, of = plain, ...more } = o;
  const { answer = dflashAnswer, off = tolerance, ...rest } = more;
  const options = { ...usual, ...rest };
  const [base, drafts] = [randomModel(of.model), randomDflash(options)];
  const path = await written(base);
  await using model = await loadModel(path, { threads: 1, contextLength: 128, kvType: 'f32' });
  const { backend } = model.runtime;
  await using gguf = await readGguf(await written(drafts));
  const dflash = await loadDflashModel(gguf, model.runtime.model, { backend });
  const notes: DflashNotes = { logits: [], confidence: [], counts: [] };
  using source = dflashSource({
    ...{ backend, contextLength: 128, window },
    model: notingDflash(dflash, notes),
  });
  const anchored = options.markov !== undefined && options.sampleFromAnchor !== false;
  const most = options.blockSize - (anchored ? 0 : 1);
  assert.equal(source.maxDrafts, most);
  const rounds = await forcedRun({
    ...{ model, source, logits: notes.logits, prompt, accept },
    ...(prefillChunk === undefined ? {} : { prefillChunk }),
    ...(draftMax === undefined ? {} : { draftMax }),
  });
  checkWork(notes.counts, rounds);
  const inputs = { target: new Tensors(base), draft: new Tensors(drafts), shape, window };
  let rated = 0;
  for (const { tokens, ...round } of rounds) {
    assert.equal(round.guesses.length, Math.min(draftMax ?? 99, most));
    const rows = of.rows(inputs.target, tokens.slice(0, -1));
    const input: ReferenceInput = { ...inputs, tokens, rows };
    const expected: BlockAnswer = answer(input, options, round.guesses);
    check({ tokens, ...round }, expected.logits, spread(round.logits, options.vocabulary), off);
    for (const [guess] of round.guesses.entries()) {
      const wanted = expected.confidence[guess];
      if (wanted === undefined) break;
      const found = notes.confidence[rated++] ?? Number.NaN;
      assert.ok(Math.abs(found - wanted) < off, `guess ${guess}: ${found}, not ${wanted}`);
    }
  }
  assert.equal(rated > 0, options.markov?.confidence ?? false);
}

/** Logits by the target's tokens. */
function spread(rows: readonly Float32Array[], vocabulary: readonly number[] | undefined) {
  return rows.map((row) => {
    if (vocabulary === undefined || row.length === shape.vocab) return row;
    const all = new Float32Array(shape.vocab).fill(Number.NEGATIVE_INFINITY);
    for (const [index, token] of vocabulary.entries()) all[token] = row[index] ?? 0;
    return all;
  });
}

const net = { keyHeads: 2, valueHeads: 4, headLength: 16, kernel: 4 } as const;
export const hybrid: Target = {
  model: {
    ...{ ...plain.model, architecture: 'qwen35' },
    qwen35: { ...net, interval: 3, rotated: 12 },
  },
  rows: (tensors, tokens) =>
    qwen35Rows(tensors, { ...shape, ...net, interval: 3, rotated: 12 }, tokens),
};
export const gemma: Target = {
  model: {
    ...{ ...shape, architecture: 'gemma4', layers: 4, window: [7, 2] },
    gemma4: { windowHeadDim: 16, perLayer: 0, rawValues: true, fullKvHeads: 1 },
  },
  rows: (tensors, tokens) =>
    gemma4Rows(
      tensors,
      { ...shape, full: [32, 1], windowed: [16, 2], window: 7, pattern: 2 },
      tokens,
    ),
};
/** Tokens of a smaller vocabulary. */
export const some = Array.from({ length: 90 }, (_, at) => (at * 11 + 5) % 331);
