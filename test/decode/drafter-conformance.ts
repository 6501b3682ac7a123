/** The promises of src/decode/drafter.ts; every drafter is run through them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PacelineError } from '../../src/base/errors.js';
import { Chooser } from '../../src/decode/chooser.js';
import type { Drafter, DrafterSource, Proposal } from '../../src/decode/drafter.js';
import { resolveSampling } from '../../src/decode/settings.js';
import type { SequenceTensors } from '../../src/models/model.js';
import { decode, features, hashTarget } from './fake-target.js';
import { Random } from './support.js';

export interface ConformanceOptions {
  readonly source: DrafterSource;
  readonly vocabularySize: number;
  readonly hiddenWidth?: number;
  readonly tapsWidth?: number;
  /** The target's state, at least 100 positions, for drafters that attend over it. */
  readonly state?: SequenceTensors;
  /** Rounds of random texts; fewer for drafters that compute. */
  readonly rounds?: number;
}

export function drafterConformance(name: string, options: ConformanceOptions): void {
  const { source, vocabularySize, state } = options;
  const rounds = options.rounds ?? 30;
  const settings = resolveSampling({ seed: 4, temperature: 0.7 });
  const open = (): Drafter => source.open();
  const check = (title: string, body: () => Promise<void> | void) =>
    test(`${name}: ${title}`, body);

  const text = (random: Random, length: number): number[] => {
    const tokens: number[] = [];
    while (tokens.length < length) {
      const from = random.below(tokens.length + 1);
      if (random.uniform() < 0.3) tokens.push(...tokens.slice(from, from + 9));
      tokens.push(random.below(vocabularySize));
    }
    return tokens.slice(0, length);
  };
  const observe = (drafter: Drafter, tokens: number[], from: number, to: number): void => {
    const run = tokens.slice(0, to);
    const rows = features(options, run, from);
    drafter.observe({ position: from, tokens: run.slice(from), ...rows });
  };
  /** A drafter that has seen all but the last token, in pieces. */
  const shown = (random: Random, tokens: number[], drafter = open()): Drafter => {
    while (drafter.length < tokens.length - 1) {
      const rest = tokens.length - 1 - drafter.length;
      observe(drafter, tokens, drafter.length, drafter.length + 1 + random.below(rest));
    }
    return drafter;
  };
  const ask = async (drafter: Drafter, tokens: number[], limit = 8): Promise<Proposal> =>
    drafter.propose({ chooser: new Chooser({ settings, tokens }), limit, state });

  check('guesses are tokens, at most as many as asked for', async () => {
    const random = new Random(1);
    for (let round = 0; round < rounds; round++) {
      const tokens = text(random, 2 + random.below(60));
      const drafter = shown(random, tokens);
      for (const limit of [0, 1, 3, 100]) {
        const proposal = await ask(drafter, tokens, limit);
        assert.ok(proposal.tokens.length <= Math.min(limit, drafter.maxDrafts));
        for (const token of proposal.tokens) {
          assert.ok(Number.isInteger(token) && token >= 0 && token < vocabularySize);
        }
        const { confidence } = proposal;
        if (confidence === undefined) continue;
        assert.equal(confidence.length, proposal.tokens.length);
        for (const value of confidence) assert.ok(value >= 0 && value <= 1);
      }
      drafter.dispose();
    }
  });

  check('a guess leaves no trace, and does not depend on the pieces of the text', async () => {
    const random = new Random(2);
    for (let round = 0; round < rounds; round++) {
      const tokens = text(random, 2 + random.below(60));
      const drafter = shown(random, tokens);
      const first = await ask(drafter, tokens);
      const other = [...tokens.slice(0, -1), random.below(vocabularySize)];
      await ask(drafter, other, 3);
      assert.deepEqual(await ask(drafter, tokens), first);
      assert.equal(drafter.length, tokens.length - 1);
      const pieces = shown(random, tokens);
      // Guessing between the pieces changes nothing.
      assert.deepEqual(await ask(pieces, tokens), first);
      // Nor does having asked about another last token than the text goes on with.
      await ask(drafter, other, 3);
      const further = [...tokens, ...text(random, 3)];
      shown(random, further, drafter);
      const fresh = shown(random, further);
      assert.deepEqual(await ask(drafter, further), await ask(fresh, further));
      for (const one of [drafter, pieces, fresh]) one.dispose();
    }
  });

  check('truncating and going on is as if the rest had never been', async () => {
    const random = new Random(3);
    for (let round = 0; round < rounds; round++) {
      const tokens = text(random, 20 + random.below(30));
      const keep = random.below(tokens.length - 1);
      const other = [...tokens.slice(0, keep), ...text(random, 20)];
      const drafter = shown(random, tokens);
      await ask(drafter, tokens);
      if (drafter.truncate(keep)) assert.equal(drafter.length, keep);
      else drafter.reset();
      shown(random, other, drafter);
      const fresh = shown(random, other);
      assert.deepEqual(await ask(drafter, other), await ask(fresh, other));
      drafter.reset();
      assert.equal(drafter.length, 0);
      shown(random, tokens, drafter);
      assert.deepEqual(await ask(drafter, tokens), await ask(shown(random, tokens), tokens));
      fresh.dispose();
      drafter.dispose();
    }
  });

  check('state can be saved, restored and forked', async () => {
    const random = new Random(4);
    for (let round = 0; round < rounds; round++) {
      const tokens = text(random, 5 + random.below(50));
      const drafter = shown(random, tokens);
      const bytes = drafter.snapshot();
      // Whatever it had seen before.
      const before = text(random, 30);
      const restored = shown(random, before);
      await ask(restored, before);
      restored.restore(bytes);
      const forked = drafter.fork();
      const expected = await ask(drafter, tokens);
      assert.equal(restored.length, drafter.length);
      assert.deepEqual(await ask(restored, tokens), expected);
      // The fork lives on its own.
      const other = [...tokens, ...text(random, 10)];
      shown(random, other, forked);
      assert.deepEqual(await ask(drafter, tokens), expected);
      drafter.dispose();
      shown(random, other, restored);
      assert.deepEqual(await ask(forked, other), await ask(restored, other));
      forked.dispose();
      restored.dispose();
    }
  });

  check('a damaged saved state is refused', () => {
    const random = new Random(5);
    const bytes = shown(random, text(random, 30)).snapshot();
    const damaged = bytes.slice();
    damaged[0] = (damaged[0] ?? 0) ^ 0xff;
    for (const broken of [new Uint8Array(), bytes.slice(0, -1), bytes.slice(0, 3), damaged]) {
      const drafter = open();
      assert.throws(
        () => drafter.restore(broken),
        (error) => PacelineError.is(error) && error.code === 'broken-file',
      );
      drafter.dispose();
    }
  });

  check('a wrong position is a bug that is told; an abort is heard', async () => {
    const random = new Random(6);
    const tokens = text(random, 20);
    const drafter = shown(random, tokens);
    for (const position of [0, 5, 30]) {
      assert.throws(
        () => drafter.observe({ position, tokens: [1] }),
        (error) => PacelineError.is(error) && error.code === 'internal',
      );
    }
    await assert.rejects(
      async () => {
        const chooser = new Chooser({ settings, tokens });
        return drafter.propose({ chooser, limit: 4, state, signal: AbortSignal.abort() });
      },
      (error) => PacelineError.is(error) && error.code === 'aborted',
    );
    await ask(drafter, tokens);
    drafter.dispose();
  });

  check('tokens without their rows are no error', async () => {
    const random = new Random(7);
    const tokens = text(random, 30);
    const drafter = open();
    drafter.observe({ position: 0, tokens: tokens.slice(0, 20) });
    await ask(drafter, tokens.slice(0, 21));
    observe(drafter, tokens, 20, 29);
    assert.equal(drafter.length, 29);
    await ask(drafter, tokens);
    drafter.dispose();
  });

  check('the text is the same with it and without it', async () => {
    const random = new Random(8);
    for (let round = 0; round < rounds; round++) {
      const target = hashTarget({ vocabularySize, seed: round, order: 1 + (round % 3) });
      const common = {
        target,
        prompt: text(random, 1 + random.below(30)),
        settings: resolveSampling({ seed: round, temperature: random.pick([0, 0.7, 1.2]) }),
        maxTokens: 1 + random.below(60),
        endTokens: [1],
        stop: ['abc'],
        state,
        ...(options.hiddenWidth === undefined ? {} : { hiddenWidth: options.hiddenWidth }),
        ...(options.tapsWidth === undefined ? {} : { tapsWidth: options.tapsWidth }),
      };
      const plain = await decode(common);
      const drafter = open();
      const drafted = await decode({ ...common, drafter, limit: 1 + random.below(10) });
      assert.deepEqual(drafted.history, plain.history);
      assert.equal(drafted.text, plain.text);
      assert.equal(drafted.finish, plain.finish);
      drafter.dispose();
    }
  });
}
