/**
 * What multi-token prediction blocks guess, against references in double precision: several rounds by the
 * engine's own loop with partial acceptance, on small random models of every form that files come in.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { mtpSource } from '../../src/decode/mtp.js';
import { readGguf } from '../../src/gguf/reader.js';
import { loadModel } from '../../src/index.js';
import { loadMtpModel } from '../../src/models/mtp.js';
import { type RandomModelOptions, randomModel } from '../../src/synthetic/random-model.js';
import {
  type RandomMtpOptions,
  randomModelWithMtp,
  randomMtp,
} from '../support/random-drafters.js';
import { forcedRun, type Round } from './forced-run.js';
import { accept, check, checkWork, notingMtp, prompt, written } from './neural-support.js';
import {
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
