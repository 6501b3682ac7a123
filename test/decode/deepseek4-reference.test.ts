/**
 * DeepSeek V4 and its prediction block against a reference in double precision: logits of a text whose chunks end
 * inside blocks, choices among equal scores, and what the block guesses from guesses.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { mtpSource } from '../../src/decode/mtp.js';
import { GgmlType } from '../../src/ggml/types.js';
import { readGguf } from '../../src/gguf/reader.js';
import { loadModel } from '../../src/index.js';
import { loadMtpModel } from '../../src/models/mtp.js';
import { type RandomModelOptions, randomModel } from '../../src/synthetic/random-model.js';
import { Runner } from '../oracle/runner.js';
import {
  type RandomMtpOptions,
  randomModelWithMtp,
  randomMtp,
} from '../support/random-drafters.js';
import { deepseek4MtpLogits, deepseek4Rows } from './deepseek4-reference.js';
import { forcedRun } from './forced-run.js';
import {
  accept,
  check,
  checkWork,
  notingMtp,
  prompt,
  tolerance,
  written,
} from './neural-support.js';
import { Tensors } from './reference.js';

const sizes = {
  ...{ layers: 4, embedding: 32, heads: 4, headDim: 24, inner: 20, vocab: 331 },
  experts: [6, 2],
  deepseek4: {
    ...{ queryRank: 20, rotated: 8, window: 12, ratios: [4, 128, 0, 4], outputGroups: 2 },
    ...{ index: { heads: 3, keyLength: 16, most: 5 }, outputRank: 10, hashed: 2, limit: 0.7 },
  },
} as const;
const base = { ...sizes, architecture: 'deepseek4', seed: 3 } as const;

describe('deepseek4 against the reference', () => {
  const tokens = Array.from({ length: 140 }, (_, at) => (at * 97 + (at >> 3) * 31 + 11) % 320);

  async function compare(more: Partial<RandomModelOptions>, chunks: readonly number[]) {
    const content = randomModel({ ...base, ...more });
    const { logits } = deepseek4Rows(content, new Tensors(content), sizes, tokens);
    using runner = await Runner.open(await written(content), { cacheType: GgmlType.F32 });
    const found: Float32Array[] = [];
    for (let turn = 0; found.length < tokens.length; turn++) {
      const size = chunks[turn % chunks.length] as number;
      found.push(...(await runner.decode(tokens.slice(found.length, found.length + size))));
    }
    for (const [position, wanted] of logits.entries()) {
      const range = Math.max(...wanted) - Math.min(...wanted);
      const off = wanted.map((value, at) => Math.abs(value - (found[position]?.[at] ?? 0)));
      const worst = Math.max(...off) / range;
      assert.ok(worst < 1e-5, `position ${position}: ${worst} of the range`);
    }
  }

  it('in chunks that end inside blocks', () => compare({}, [6, 1, 121, 2, 3]));
  it('where all blocks have the same score', () =>
    compare(
      {
        change: (tensor) =>
          tensor.name.endsWith('indexer.proj.weight')
            ? { ...tensor, values: tensor.values.fill(0) }
            : tensor,
      },
      [70, 1],
    ));
});

describe('the prediction block of deepseek4 against the reference', () => {
  async function mtpCase(
    o: Partial<RandomMtpOptions> & { readonly alone?: boolean; readonly lookBack?: number } = {},
  ): Promise<void> {
    const { alone = false, lookBack: window = 512, ...rest } = o;
    const options = { ...base, tied: false, ...rest } as const;
    const drafts = randomModelWithMtp(options);
    const content = alone ? randomModel(base) : drafts;
    const path = await written(content);
    const file = alone ? await written(randomMtp(options)) : path;
    await using model = await loadModel(path, { threads: 1, contextLength: 128, kvType: 'f32' });
    const { backend, drafterSources } = model.runtime;
    assert.equal(
      drafterSources.some(({ name }) => name === 'mtp'),
      !alone,
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
    const rounds = await forcedRun({ model, source, logits, prompt, accept });
    assert.equal(rounds.length, accept.length);
    checkWork(counts, rounds);
    const tensors = new Tensors(drafts);
    for (const round of rounds) {
      const run = round.tokens.slice(0, -1);
      const { streams } = deepseek4Rows(drafts, tensors, sizes, run);
      const text = { tokens: round.tokens, streams };
      const expected = deepseek4MtpLogits(tensors, sizes, text, round.guesses, window);
      check(round, expected, round.logits, 2 * tolerance);
    }
    assert.ok(Math.max(...rounds.map(({ guesses }) => guesses.length)) >= 3);
  }

  it('behind the target in one file', () => mtpCase());
  it('with its own norm and head', () => mtpCase({ ownHeadNorm: true, ownHead: true }));
  it('in a file of its own', () => mtpCase({ alone: true }));
  it('looking back on less than its window', () => mtpCase({ lookBack: 7 }));
});
