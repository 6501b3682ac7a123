/** A constraint holds under drafting, costs no token that the text would not have had, and no bytes. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Constraint, TokenMask } from '../../src/constraint/constraint.js';
import { Chooser } from '../../src/decode/chooser.js';
import { Drafting } from '../../src/decode/drafting.js';
import { resolveSampling } from '../../src/decode/settings.js';
import { Finish } from '../../src/decode/stop.js';
import type { DraftKind } from '../../src/engine/types.js';
import { loadModel, type Model } from '../../src/index.js';

/** Tokens of certain sets, in turn: digits, then digits, then a comma, say. */
class Cycle implements Constraint {
  constructor(
    readonly sets: readonly ReadonlySet<number>[],
    readonly size: number,
    private at = 0,
  ) {}

  get #now(): ReadonlySet<number> {
    return this.sets[this.at % this.sets.length] as ReadonlySet<number>;
  }

  mask(): TokenMask {
    const mask = new Uint32Array(Math.ceil(this.size / 32));
    for (const token of this.#now)
      mask[token >>> 5] = (mask[token >>> 5] ?? 0) | (1 << (token & 31));
    return mask;
  }

  allows(token: number): boolean {
    return this.#now.has(token);
  }

  accept(token: number): void {
    assert.ok(this.allows(token), `token ${token}`);
    this.at++;
  }

  forced(limit: number): readonly number[] {
    const ahead = this.fork();
    const tokens: number[] = [];
    while (tokens.length < limit && ahead.#now.size === 1) {
      const [token = 0] = ahead.#now;
      tokens.push(token);
      ahead.accept(token);
    }
    return tokens;
  }

  fork(): Cycle {
    return new Cycle(this.sets, this.size, this.at);
  }
}

describe('a constrained text', () => {
  let model: Model;
  before(async () => {
    model = await loadModel('default', { threads: 1, contextLength: 256 });
  });
  after(() => model.dispose());

  const run = async (sets: readonly ReadonlySet<number>[], draft: DraftKind, seed: number) => {
    const { runtime } = model;
    const text = runtime.createText();
    try {
      const job = runtime.generate({
        text,
        prompt: model.tokenizer.encode('const numbers = ['),
        settings: resolveSampling({ seed, temperature: seed === 0 ? 0 : 1.2, topK: 0 }),
        constraint: new Cycle(sets, runtime.model.hyperparameters.vocabSize),
        finish: new Finish({
          endTokens: new Set(),
          maxTokens: 40,
          toText: (token) => model.tokenizer.decode([token]),
        }),
        drafting: new Drafting({
          drafters: text.drafters,
          mode: draft,
          experience: runtime.draftExperience,
        }),
        draftKind: draft,
        prefillChunk: runtime.prefillChunk,
      });
      return await job.finish();
    } finally {
      runtime.release(text);
    }
  };
  const tokensOf = (pattern: RegExp): ReadonlySet<number> => {
    const { vocabSize } = model.runtime.model.hyperparameters;
    return new Set(
      Array.from({ length: vocabSize }, (_, token) => token).filter((token) =>
        pattern.test(model.tokenizer.decode([token])),
      ),
    );
  };

  it('has only digits with every drafter and seed, and is the one without drafts', async () => {
    const digits = [tokensOf(/^[0-9]+$/)];
    assert.ok((digits[0]?.size ?? 0) >= 10);
    for (const seed of [0, 1, 2]) {
      const plain = await run(digits, 'none', seed);
      assert.match(plain.text, /^[0-9]+$/);
      for (const draft of ['ngram', 'mtp', 'dflash', 'auto'] as const) {
        const drafted = await run(digits, draft, seed);
        assert.deepEqual(drafted.tokens, plain.tokens, `${draft}, seed ${seed}`);
        if (draft === 'mtp') assert.ok(drafted.draft.drafted > 0);
      }
    }
  });

  it('proposes what has no alternative, which is always right', async () => {
    const [comma, space] = [model.tokenizer.encode(','), model.tokenizer.encode(' ')].map(
      (tokens) => new Set(tokens.slice(-1)),
    ) as [Set<number>, Set<number>];
    const sets = [tokensOf(/^[0-9]$/), comma, space, comma];
    for (const seed of [0, 1]) {
      const plain = await run(sets, 'none', seed);
      assert.equal(plain.draft.drafted, 0);
      const drafted = await run(sets, 'ngram', seed);
      assert.deepEqual(drafted.tokens, plain.tokens);
      const { constraint } = drafted.draft.byDrafter;
      assert.ok(constraint !== undefined && constraint.drafted >= 20);
      assert.equal(constraint.accepted, constraint.drafted);
      assert.ok(drafted.draft.steps <= 20, `${drafted.draft.steps} passes`);
    }
  });
});

describe('a chooser', () => {
  const settings = resolveSampling({ temperature: 0, seed: 0 });
  const logits = Float32Array.from({ length: 70 }, (_, token) => token);

  it('chooses the best of what is allowed, in every word of the mask', () => {
    for (const allowed of [[3], [31], [32, 5], [63, 64], [0, 69]]) {
      const constraint = new Cycle([new Set(allowed)], 70);
      const chooser = new Chooser({ settings, tokens: [1], constraint });
      assert.equal(chooser.choose(logits).token, Math.max(...allowed));
    }
  });

  it('says how many guesses could come, and forks without a trace', () => {
    const constraint = new Cycle([new Set([1, 2]), new Set([3])], 70);
    const chooser = new Chooser({ settings, tokens: [], constraint });
    assert.equal(chooser.allowed([1, 3, 2, 3]), 4);
    assert.equal(chooser.allowed([1, 3, 3]), 2);
    assert.equal(chooser.allowed([3]), 0);
    assert.deepEqual(chooser.forced(5), []);
    const fork = chooser.fork();
    fork.accept(2);
    assert.deepEqual(fork.forced(5), [3]);
    assert.deepEqual(chooser.forced(5), []);
    assert.equal(chooser.length, 0);
  });

  it('cannot choose where nothing is allowed, and a guess ends there', () => {
    const constraint = new Cycle([new Set()], 70);
    const chooser = new Chooser({ settings, tokens: [], constraint });
    assert.throws(() => chooser.choose(logits), { code: 'usage' });
    assert.equal(chooser.guess(logits), undefined);
    const broken = logits.map(() => Number.NaN);
    assert.throws(() => chooser.guess(broken), { code: 'bad-weights' });
  });
});
