/** The parity check finds nothing where there is nothing, and each kind of fault where there is one. */
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { argmax } from '../../src/decode/sampler.js';
import type { PassRequest, PassRows } from '../../src/engine/pass-runner.js';
import { verifyPrompts } from '../../src/engine/verify/prompts.js';
import { type VerifyOutcome, verifyModel } from '../../src/engine/verify/verify.js';
import { writeTensor } from '../../src/ggml/allocation.js';
import { type KvType, loadModel, type Model } from '../../src/index.js';
import { tinyModel } from '../support/tiny-model.js';

/** Changes what a pass returns, or what it leaves behind. */
type Fault = (request: PassRequest, result: Result, model: Model) => PassRows;

interface Result extends PassRows {
  /** Rows of other texts in the same pass. */
  readonly otherRows: number;
}

const prompts = [
  'a b c d e f a b c d e f a b c',
  'interface User {\n  id: number;\n  name: string;\n}\n\ninterface ',
];

/** Puts a fault between the engine and its passes. */
function put(fault: Fault, model: Model): void {
  const { runner } = model.runtime;
  const run = runner.run.bind(runner);
  runner.run = async (requests, signal) => {
    const { results, ms } = await run(requests, signal);
    const all = requests.reduce((sum, { tokens }) => sum + tokens.length, 0);
    const faulty = results.map((rows, at) => {
      const request = requests[at] as PassRequest;
      return fault(request, { ...rows, otherRows: all - request.tokens.length }, model);
    });
    return { results: faulty, ms };
  };
}

/** The check on the default model, with a fault put between the engine and its passes. */
async function verifyWith(fault?: Fault, kvType?: KvType): Promise<VerifyOutcome> {
  return verifyModel({
    async open(threads) {
      const type = kvType === undefined ? {} : { kvType };
      const model = await loadModel('default', { threads, contextLength: 128, ...type });
      if (fault) put(fault, model);
      return model;
    },
    prompts,
    temperatures: [0, 1],
    seeds: [1],
    maxTokens: 10,
    threads: [1],
    chunks: [3],
  });
}

/** The same on a small random model, whose texts do not matter, on a path that depends on the batch. */
async function verifyClosely(tolerance: number, fault: Fault, prompts = 6): Promise<VerifyOutcome> {
  const path = await tinyModel();
  return verifyModel({
    async open(threads) {
      const model = await loadModel(path, { threads, contextLength: 128 });
      put(fault, model);
      return model;
    },
    ...{
      prompts: verifyPrompts.slice(0, prompts),
      temperatures: [0, 1],
      seeds: [1],
      maxTokens: 24,
    },
    ...{ threads: [1], chunks: [3], tolerance },
  });
}

/** A wrong guess becomes what the model seems to say. */
const wrongAcceptance: Fault = (request, result) => {
  if (request.outputs !== 'all' || request.tokens.length < 2) return result;
  const logits = result.logits.map((row, index) => {
    const draft = request.tokens[index + 1];
    if (draft === undefined || argmax(row) === draft) return row;
    const changed = row.slice();
    changed[draft] = 1000;
    return changed;
  });
  return { ...result, logits };
};

const rounding = 0.03;

/** Rounding, exaggerated: depends on how many rows are in the pass. */
const batchDependent: Fault = (request, result) => {
  const rows = result.otherRows + request.tokens.length;
  if (rows === 1) return result;
  const logits = result.logits.map((row, index) =>
    row.map((logit, token) => logit + rounding * Math.sin(token * 7 + rows * 3 + index)),
  );
  return { ...result, logits };
};

function failing(outcome: VerifyOutcome): string[] {
  return outcome.variations.filter((v) => v.differences > 0).map((v) => v.variation);
}

describe('verify where logits depend on the batch', () => {
  let outcome: VerifyOutcome;
  before(async () => {
    outcome = await verifyClosely(3 * rounding, batchDependent);
  });

  it('reports how often rows differ and by how much, and passes', () => {
    const { nearTies } = outcome;
    assert.ok(nearTies);
    assert.deepEqual([outcome.identical, outcome.passed], [false, true]);
    assert.deepEqual(outcome.differences, []);
    assert.ok(nearTies.differingRows > 50 && nearTies.differingRows < nearTies.rows);
    assert.ok(nearTies.largestDifference > rounding / 2);
    assert.ok(nearTies.largestDifference <= 2 * rounding + 1e-5);
    const sum = (value: (v: VerifyOutcome['variations'][number]) => number | undefined) =>
      outcome.variations.reduce((total, variation) => total + (value(variation) ?? 0), 0);
    assert.equal(
      sum((v) => v.rows),
      nearTies.rows,
    );
    assert.equal(
      sum((v) => v.differingRows),
      nearTies.differingRows,
    );
    assert.equal(
      sum((v) => v.flips),
      nearTies.flips,
    );
    const forked = outcome.variations.find(({ variation }) => variation === '3 neighbours');
    assert.ok(forked && (forked.differingRows ?? 0) > 0);
  });

  it('shows where near-ties flip, with the gaps of both rows', () => {
    const flips = outcome.nearTies?.list ?? [];
    assert.ok(flips.length > 0 && flips.length === outcome.nearTies?.flips);
    const greedy = flips.filter(({ temperature }) => temperature === 0);
    assert.ok(greedy.length > 0, 'some greedy texts flip');
    for (const { expected, found, difference, position } of greedy) {
      assert.notEqual(expected.token, found.token);
      assert.equal(expected.top[0]?.token, expected.token);
      assert.equal(found.top[0]?.token, found.token);
      // What decided was smaller than the rounding on both sides together.
      assert.ok(expected.gap <= 2 * difference + 1e-6, `${expected.gap} and ${difference}`);
      assert.ok(found.gap <= 2 * difference + 1e-6);
      assert.ok(position > 0);
    }
  });

  it('still fails where rows differ by more', async () => {
    const strict = await verifyClosely(rounding / 100, batchDependent, 2);
    assert.deepEqual([strict.identical, strict.passed], [false, false]);
    assert.ok(strict.differences.some(({ kind }) => kind === 'logits'));
    // A row of another sequence is no rounding.
    const wrong = await verifyClosely(
      3 * rounding,
      (_request, result) => {
        if (result.otherRows === 0) return result;
        return { ...result, logits: result.logits.map((row) => row.slice().reverse()) };
      },
      2,
    );
    assert.equal(wrong.passed, false);
    assert.ok(failing(wrong).every((name) => name.includes('neighbours')));
    assert.ok(wrong.differences.some(({ kind }) => kind === 'token'));
  });

  it('is identical where nothing depends on the batch', async () => {
    const sound = await verifyClosely(0, (_request, result) => result, 2);
    assert.deepEqual([sound.identical, sound.passed], [true, true]);
    const { rows, differingRows, flips, largestDifference } = sound.nearTies ?? {};
    assert.deepEqual([differingRows, flips, largestDifference], [0, 0, 0]);
    assert.equal(rows, sound.rows);
  });
});

describe('verify', () => {
  let sound: VerifyOutcome;
  before(async () => {
    sound = await verifyWith();
  });

  it('finds the sound engine identical, with drafts that were really tried', () => {
    assert.equal(sound.identical, true);
    assert.deepEqual(sound.differences, []);
    assert.equal(sound.texts, 4);
    const ngram = sound.variations.find(({ variation }) => variation === 'draft ngram');
    assert.ok(ngram && ngram.drafted > 0 && ngram.rows === 40);
  });

  it('finds a wrong acceptance', async () => {
    const outcome = await verifyWith(wrongAcceptance);
    assert.equal(outcome.identical, false);
    assert.ok(failing(outcome).includes('draft ngram'));
    const token = outcome.differences.find(({ kind }) => kind === 'token');
    assert.ok(token, 'a token differs');
    assert.notEqual(token.found.token, token.expected.token);
  });

  it('finds a stale cache row', async () => {
    // After a verification, the row of the last token is overwritten in one layer: in a cache whose
    // positions lie one behind the other.
    const overwrite: Fault = (request, result, model) => {
      if (request.outputs !== 'all' || request.tokens.length < 2) return result;
      const { k } = request.state.layer(1);
      const row = new Uint8Array(k.strides[1]);
      writeTensor(model.runtime.backend, k, row, request.state.length * k.strides[1]);
      return result;
    };
    const outcome = await verifyWith(overwrite, 'f16');
    assert.equal(outcome.identical, false);
    assert.ok(failing(outcome).every((name) => name.includes('draft')));
    assert.ok(outcome.differences.every(({ position }) => position > 0));
  });

  it('finds a kernel that depends on the batch', async () => {
    // One part in ten million, in one logit, only when other rows are in the pass.
    const outcome = await verifyWith((_request, result) => {
      if (result.otherRows === 0) return result;
      const logits = result.logits.map((row) => {
        const changed = row.slice();
        changed[0] = (row[0] ?? 0) * (1 + 2e-7) + 1e-7;
        return changed;
      });
      return { ...result, logits };
    });
    assert.equal(outcome.identical, false);
    assert.deepEqual(failing(outcome), ['3 neighbours', '3 neighbours, draft ngram']);
    assert.equal(outcome.differences[0]?.kind, 'logits');
  });
});
