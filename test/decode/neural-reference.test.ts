/**
 * What the neural drafters guess, against references in double precision: several rounds by the
 * engine's own loop with partial acceptance, on small random models of every form that files come in.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { dflashSource } from '../../src/decode/dflash.js';
import { mtpSource } from '../../src/decode/mtp.js';
import { readGguf } from '../../src/gguf/reader.js';
import { loadModel } from '../../src/index.js';
import { loadDflashModel } from '../../src/models/dflash.js';
import { loadMtpModel } from '../../src/models/mtp.js';
import { type RandomModelOptions, randomModel } from '../../src/synthetic/random-model.js';
import {
  type RandomDflashOptions,
  type RandomMtpOptions,
  randomDflash,
  randomModelWithMtp,
  randomMtp,
} from '../support/random-drafters.js';
import { forcedRun, type Round } from './forced-run.js';
import { gemma4Rows } from './gemma4-reference.js';
import { accept, check, checkWork, noting, notingMtp, prompt, written } from './neural-support.js';
import { qwen35Rows } from './qwen35-reference.js';
import {
  dflashLogits,
  mtpLogits,
  type ReferenceInput,
  type ReferenceShape,
  type TargetRows,
  Tensors,
  targetRows,
} from './reference.js';

const shape = {
  ...{ layers: 4, embedding: 64, heads: 4, kvHeads: 2, headDim: 32, inner: 96, vocab: 331 },
} as const;
const target = {
  ...shape,
  architecture: 'qwen3',
  tied: false,
} as const satisfies RandomModelOptions;

type Inputs = Pick<ReferenceInput, 'target' | 'draft' | 'window'> & {
  readonly shape?: ReferenceShape;
  /** Of a target that is no qwen3. */
  readonly rowsOf?: ((tensors: Tensors, tokens: readonly number[]) => TargetRows) | undefined;
};

function inputOf({ rowsOf, ...inputs }: Inputs, round: Round): ReferenceInput {
  const run = round.tokens.slice(0, -1);
  const own = (tensors: Tensors) => targetRows(tensors, inputs.shape ?? shape, run);
  const rows = (rowsOf ?? own)(inputs.target, run);
  return { shape, ...inputs, tokens: round.tokens, rows };
}

describe('mtp against the reference', () => {
  interface MtpCase extends Partial<RandomMtpOptions> {
    readonly inTarget?: boolean;
    readonly lookBack?: number;
    readonly prefillChunk?: number;
  }

  async function mtpCase(o: MtpCase): Promise<void> {
    const { inTarget = false, lookBack: window = 512, prefillChunk, ...rest } = o;
    const options = { ...shape, tied: false, ...rest };
    const { tied } = options;
    const drafts = inTarget ? randomModelWithMtp(options) : randomMtp(options);
    const base = inTarget ? drafts : randomModel({ ...target, tied });
    const path = await written(base);
    const file = inTarget ? path : await written(drafts);
    await using model = await loadModel(path, { threads: 1, contextLength: 128, kvType: 'f32' });
    assert.equal(model.runtime.model.hyperparameters.layerCount, shape.layers);
    const { backend, drafterSources } = model.runtime;
    assert.equal(
      drafterSources.some(({ name }) => name === 'mtp'),
      inTarget,
      'the block in the own file is found',
    );
    await using gguf = await readGguf(file);
    const mtp = await loadMtpModel(gguf, model.runtime.model, { backend });
    const logits: Float32Array[] = [];
    const counts: number[] = [];
    using source = mtpSource({
      ...{ backend, contextLength: 128, window },
      model: notingMtp(mtp, logits, counts),
    });
    const run = { model, source, logits, prompt, accept };
    const rounds = await forcedRun(prefillChunk === undefined ? run : { ...run, prefillChunk });
    assert.equal(rounds.length, accept.length);
    checkWork(counts, rounds);
    const rotated = rest.qwen35 === undefined ? {} : { rotated: rest.qwen35.rotated };
    const inputs = {
      ...{ target: new Tensors(base), draft: new Tensors(drafts), window },
      shape: { ...shape, ...rotated },
    };
    for (const round of rounds) {
      check(round, mtpLogits(inputOf(inputs, round), round.guesses), round.logits);
    }
    const longest = Math.max(...rounds.map(({ guesses }) => guesses.length));
    assert.ok(longest >= 3, `guesses go on from guesses: ${longest}`);
    assert.ok(rounds.some(({ guesses, accepted }) => accepted > 0 && accepted < guesses.length));
  }

  const own = { ownHead: true, ownHeadNorm: true } as const;
  it('in a file of its own, with the target’s table, norm and head', () => mtpCase({}));
  it('behind a target whose head is its table', () => mtpCase({ tied: true }));
  it('behind the target in one file, which the trunk does not run', () =>
    mtpCase({ inTarget: true }));
  it('with its own norm', () => mtpCase({ ownHeadNorm: true }));
  it('with its own head', () => mtpCase({ ownHead: true }));
  it('with its own table, norm and head', () => mtpCase({ ...own, ownTable: true }));
  it('in one file with its own table, norm and head', () =>
    mtpCase({ ...own, ownTable: true, inTarget: true }));
  it('after a prompt that was read in pieces', () => mtpCase({ ...own, prefillChunk: 4 }));
  it('of qwen35, whose attention is gated and rotates a part of each head', () =>
    mtpCase({
      ...{ architecture: 'qwen35', inTarget: true, ownHeadNorm: true },
      qwen35: {
        ...{ keyHeads: 1, valueHeads: 1, headLength: 16, kernel: 4, interval: 1, rotated: 12 },
      },
    }));
  it('looking back on a window that the text leaves behind', () =>
    mtpCase({ ...own, lookBack: 14 }));
  it('looking back on a very small window', () => mtpCase({ ...own, lookBack: 6 }));
});

describe('dflash against the reference', () => {
  const usual = {
    ...shape,
    ...{ layers: 2, blockSize: 6, maskToken: 7, targetLayers: [1, 2, 4] },
  } as const;

  interface DflashCase extends Partial<RandomDflashOptions> {
    readonly lookBack?: number;
    readonly prefillChunk?: number;
    readonly draftMax?: number;
    /** Default: a qwen3. */
    readonly of?: Target;
  }

  interface Target {
    readonly model: RandomModelOptions;
    readonly rows: (tensors: Tensors, tokens: readonly number[]) => TargetRows;
  }

  async function dflashCase(o: DflashCase): Promise<void> {
    const { lookBack: window = 512, prefillChunk, draftMax, of, ...rest } = o;
    const options = { ...usual, ...rest };
    const [base, drafts] = [randomModel(of?.model ?? target), randomDflash(options)];
    const path = await written(base);
    await using model = await loadModel(path, { threads: 1, contextLength: 128, kvType: 'f32' });
    const { backend } = model.runtime;
    await using gguf = await readGguf(await written(drafts));
    const dflash = await loadDflashModel(gguf, model.runtime.model, { backend });
    const logits: Float32Array[] = [];
    const counts: number[] = [];
    using source = dflashSource({
      ...{ backend, contextLength: 128, window },
      model: {
        ...dflash,
        inject(graph, context) {
          counts.push(context.positions.elements);
          dflash.inject(graph, context);
        },
        guess(graph, block) {
          const made = dflash.guess(graph, block);
          noting(graph, made, logits, options.blockSize - 1);
          return made;
        },
      },
    });
    const rounds = await forcedRun({
      ...{ model, source, logits, prompt, accept },
      ...(prefillChunk === undefined ? {} : { prefillChunk }),
      ...(draftMax === undefined ? {} : { draftMax }),
    });
    checkWork(counts, rounds);
    const rowsOf = of?.rows;
    const inputs = { target: new Tensors(base), draft: new Tensors(drafts), window, rowsOf };
    for (const round of rounds) {
      assert.equal(round.guesses.length, Math.min(draftMax ?? 99, options.blockSize - 1));
      const expected = dflashLogits(inputOf(inputs, round), options);
      check(round, expected, spread(round.logits, options.vocabulary));
    }
  }

  /** Logits by the target's tokens. */
  function spread(rows: readonly Float32Array[], vocabulary: readonly number[] | undefined) {
    if (vocabulary === undefined) return rows;
    return rows.map((row) => {
      const all = new Float32Array(shape.vocab).fill(Number.NEGATIVE_INFINITY);
      for (const [index, token] of vocabulary.entries()) all[token] = row[index] ?? 0;
      return all;
    });
  }

  const net = { keyHeads: 2, valueHeads: 4, headLength: 16, kernel: 4 } as const;
  const hybrid = {
    model: {
      ...{ ...target, architecture: 'qwen35' },
      qwen35: { ...net, interval: 3, rotated: 12 },
    },
    rows: (tensors: Tensors, tokens: readonly number[]) =>
      qwen35Rows(tensors, { ...shape, ...net, interval: 3, rotated: 12 }, tokens),
  } as const satisfies Target;
  const gemma = {
    model: {
      ...{ ...shape, architecture: 'gemma4', layers: 4, window: [7, 2] },
      gemma4: { windowHeadDim: 16, perLayer: 0, rawValues: true, fullKvHeads: 1 },
    },
    rows: (tensors: Tensors, tokens: readonly number[]) =>
      gemma4Rows(
        tensors,
        { ...shape, full: [32, 1], windowed: [16, 2], window: 7, pattern: 2 },
        tokens,
      ),
  } as const satisfies Target;

  it('with full attention', () => dflashCase({}));
  it('for qwen35, with taps behind delta nets, attention and the last layer', () =>
    dflashCase({ of: hybrid, targetLayers: [1, 3, 2, 4] }));
  it('for qwen35 with one tap behind a delta net, after a prompt that was read in pieces', () =>
    dflashCase({ of: hybrid, targetLayers: [2], prefillChunk: 3 }));
  it('for gemma4, whose embeddings are scaled, with taps behind both kinds of layers', () =>
    dflashCase({ of: gemma, targetLayers: [1, 2, 4], embeddingScale: 8 }));
  it('with more layers, and taps in another order, the last layer’s output first', () =>
    dflashCase({ layers: 3, targetLayers: [4, 1, 3, 2], blockSize: 5 }));
  it('with one tap', () => dflashCase({ targetLayers: [3] }));
  it('with sliding windows in some layers', () =>
    dflashCase({ layers: 3, sliding: [5, [true, false, true]] }));
  it('with a causal block', () => dflashCase({ causal: true }));
  it('with a causal block and sliding windows', () =>
    dflashCase({ causal: true, sliding: [4, [true, true]] }));
  it('with attention.causal given as false', () => dflashCase({ causal: false }));
  it('with scaled embeddings', () => dflashCase({ embeddingScale: 8 }));
  it('with scaled and capped logits', () => dflashCase({ logitScale: 0.5, softcap: 3 }));
  it('with its own table and head', () => dflashCase({ ownTable: true, ownHead: true }));
  it('with a vocabulary of its own', () =>
    dflashCase({ vocabulary: Array.from({ length: 90 }, (_, at) => (at * 11 + 5) % 331) }));
  it('guessing less than its block has', () => dflashCase({ draftMax: 2 }));
  it('after a prompt that was read in pieces', () => dflashCase({ prefillChunk: 4 }));
  it('looking back on a window that the text leaves behind', () => dflashCase({ lookBack: 10 }));
  it('looking back on a very small window', () => dflashCase({ lookBack: 4 }));
  it('with a sliding window beyond the one it looks back on', () =>
    dflashCase({ lookBack: 7, sliding: [50, [true, true]] }));
});
