import assert from 'node:assert/strict';
import { test } from 'node:test';
import { acceptDrafts } from '../../src/decode/accept.js';
import { Chooser } from '../../src/decode/chooser.js';
import { DraftExperience } from '../../src/decode/draft-record.js';
import { type Drafter, joinNeeds, type Observation } from '../../src/decode/drafter.js';
import { Drafting } from '../../src/decode/drafting.js';
import { NgramDrafter } from '../../src/decode/ngram.js';
import { resolveSampling } from '../../src/decode/settings.js';
import { Finish } from '../../src/decode/stop.js';
import { decode, type FakeTarget, hashTarget } from './fake-target.js';
import { Random } from './support.js';

/** The engine's loop with `Drafting`, and a clock of 1 ms a pass. */
async function generate(target: FakeTarget, prompt: number[], seed: number, mode: string) {
  const settings = resolveSampling({ seed, temperature: seed % 2 ? 0.7 : 0 });
  const chooser = new Chooser({ settings, tokens: prompt });
  const experience = new DraftExperience();
  const finish = new Finish({ endTokens: new Set([1]), maxTokens: 300, toText: () => '' });
  let clock = 0;
  const drafting = new Drafting({
    drafters: [new NgramDrafter()],
    mode,
    experience,
    now: () => clock,
  });
  drafting.observe({ position: 0, tokens: prompt.slice(0, -1) });
  for (;;) {
    const known = chooser.length;
    const limit = Math.min(15, finish.remaining - 1);
    const draft = await drafting.next({ chooser, limit });
    const base = [...chooser.tokens];
    const row = (i: number) => target.logits([...base, ...draft.tokens.slice(0, i)]);
    const outcome = acceptDrafts({ drafts: draft.tokens, row, chooser, finish });
    clock += 1;
    drafting.settle(outcome, 1);
    experience.passes.record(1 + draft.tokens.length, 1);
    const run = chooser.tokens.slice(known - 1, known + outcome.accepted);
    drafting.observe({ position: known - 1, tokens: run });
    if (outcome.finish !== undefined) return { history: [...chooser.tokens], drafting };
  }
}

test('with the controller the text is the same, and repeating text takes fewer passes', async () => {
  const random = new Random(1);
  let steps = 0;
  let tokens = 0;
  for (let seed = 0; seed < 40; seed++) {
    const target = hashTarget({ vocabularySize: 12, seed, order: 1, spread: 6 });
    const prompt = Array.from({ length: 20 }, () => random.below(12));
    const settings = resolveSampling({ seed, temperature: seed % 2 ? 0.7 : 0 });
    const plain = await decode({ target, prompt, settings, maxTokens: 300, endTokens: [1] });
    for (const mode of ['auto', 'ngram', 'none']) {
      const { history, drafting } = await generate(target, prompt, seed, mode);
      assert.deepEqual(history, plain.history, `${mode}, seed ${seed}`);
      if (mode !== 'auto') continue;
      steps += drafting.statistics().steps;
      tokens += history.length - prompt.length;
    }
  }
  assert.ok(steps < 0.6 * tokens, `${steps} passes for ${tokens} tokens`);
});

function recording(name: string, taps: number[] | undefined, canTruncate: boolean) {
  const seen: Observation[] = [];
  let length = 0;
  const drafter: Drafter = {
    name,
    needs: taps === undefined ? { hidden: true } : { taps, window: 8 },
    maxDrafts: 4,
    bytes: 10,
    get length() {
      return length;
    },
    observe(observation) {
      assert.equal(observation.position, length);
      length += observation.tokens.length;
      const { taps: rows, ...rest } = observation;
      seen.push(rows ? { ...rest, taps: { ...rows, data: rows.data.slice() } } : rest);
    },
    propose: () => ({ tokens: [] }),
    truncate(to) {
      if (canTruncate) length = to;
      return canTruncate;
    },
    snapshot: () => new Uint8Array(),
    restore: () => {},
    reset: () => {
      length = 0;
    },
    fork: () => drafter,
    dispose: () => {},
  };
  return { drafter, seen };
}

test('every drafter is shown its own rows and nothing else', () => {
  const first = recording('first', [4, 2], true);
  const second = recording('second', [2], false);
  const third = recording('third', undefined, true);
  const drafters = [first.drafter, second.drafter, third.drafter];
  const drafting = new Drafting({ drafters, mode: 'auto' });
  assert.deepEqual(drafting.needs, { hidden: true, taps: [2, 4] });
  const hidden = { rows: 2, width: 1, data: new Float32Array([7, 8]) };
  // Two rows, taps 2 and 4 of two floats each.
  const taps = { rows: 2, width: 4, data: new Float32Array([20, 21, 40, 41, 22, 23, 42, 43]) };
  drafting.observe({ position: 0, tokens: [1, 2, 3], hidden, taps });
  assert.deepEqual([...(first.seen[0]?.taps?.data ?? [])], [40, 41, 20, 21, 42, 43, 22, 23]);
  assert.deepEqual([...(second.seen[0]?.taps?.data ?? [])], [20, 21, 22, 23]);
  assert.equal(first.seen[0]?.hidden, undefined);
  assert.equal(third.seen[0]?.taps, undefined);
  assert.equal(third.seen[0]?.hidden?.rows, 2);
  assert.equal(drafting.bytes, 30);
  // One that cannot go back is told the tokens anew, without rows.
  drafting.align([1, 2, 3], 2);
  assert.deepEqual(
    drafters.map(({ length }) => length),
    [2, 2, 2],
  );
  assert.deepEqual(second.seen[1], { position: 0, tokens: [1, 2] });
  drafting.observe({ position: 2, tokens: [9] });
  assert.equal(drafting.length, 3);
  // One that lags behind (its state was not saved with the target's) is told what it missed.
  drafting.align([1, 2, 9, 5, 6], 5);
  assert.deepEqual(first.seen.at(-1), { position: 3, tokens: [5, 6] });
  drafting.align([1, 2, 9, 5, 6], 5);
  assert.equal(drafting.length, 5);
});

test('needs are joined over the drafters', () => {
  assert.deepEqual(joinNeeds([]), { window: 0 });
  assert.deepEqual(joinNeeds([{}, {}]), { window: 0 });
  assert.deepEqual(joinNeeds([{}, { hidden: true, window: 64 }]), { hidden: true, window: 64 });
  assert.deepEqual(joinNeeds([{ hidden: true }, { taps: [1, 5], window: 9 }]), {
    hidden: true,
    taps: [1, 5],
  });
  const mtp = { hidden: true, window: 512, hiddenRows: 48 };
  assert.deepEqual(joinNeeds([mtp, { taps: [2], window: 99 }]), { ...mtp, taps: [2] });
  assert.deepEqual(joinNeeds([mtp, { hidden: true, window: 60 }]), { ...mtp, hiddenRows: 60 });
  assert.deepEqual(joinNeeds([{ hidden: true, window: 9, hiddenRows: 9 }]), {
    ...{ hidden: true, window: 9 },
  });
});
