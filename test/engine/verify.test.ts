/** The parity check finds nothing where there is nothing, and each kind of fault where there is one. */
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { argmax } from '../../src/decode/sampler.js';
import type { PassRequest, PassResult } from '../../src/engine/batcher.js';
import { type VerifyOutcome, verifyModel } from '../../src/engine/verify/verify.js';
import { writeTensor } from '../../src/ggml/allocation.js';
import { loadModel, type Model } from '../../src/index.js';

/** Changes what a pass returns, or what it leaves behind. */
type Fault = (request: PassRequest, result: PassResult, model: Model) => PassResult;

const prompts = [
  'a b c d e f a b c d e f a b c',
  'interface User {\n  id: number;\n  name: string;\n}\n\ninterface ',
];

/** The check on the default model, with a fault put between the engine and its passes. */
async function verifyWith(fault?: Fault): Promise<VerifyOutcome> {
  return verifyModel({
    async open(threads) {
      const model = await loadModel('default', { threads, contextLength: 128 });
      const { batcher } = model.runtime;
      const run = batcher.run.bind(batcher);
      if (fault) batcher.run = async (request) => fault(request, await run(request), model);
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

function failing(outcome: VerifyOutcome): string[] {
  return outcome.variations.filter((v) => v.differences > 0).map((v) => v.variation);
}

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
    // A wrong guess becomes what the model seems to say.
    const outcome = await verifyWith((request, result) => {
      if (request.outputs !== 'all' || request.tokens.length < 2) return result;
      const logits = result.logits.map((row, index) => {
        const draft = request.tokens[index + 1];
        if (draft === undefined || argmax(row) === draft) return row;
        const changed = row.slice();
        changed[draft] = 1000;
        return changed;
      });
      return { ...result, logits };
    });
    assert.equal(outcome.identical, false);
    assert.ok(failing(outcome).includes('draft ngram'));
    const token = outcome.differences.find(({ kind }) => kind === 'token');
    assert.ok(token, 'a token differs');
    assert.notEqual(token.found.token, token.expected.token);
  });

  it('finds a stale cache row', async () => {
    // After a verification, the row of the last token is overwritten in one layer.
    const outcome = await verifyWith((request, result, model) => {
      if (request.outputs !== 'all' || request.tokens.length < 2) return result;
      const { k } = request.cache.layer(1);
      const row = new Uint8Array(k.strides[1]);
      const position = request.cache.length - request.tokens.length;
      writeTensor(model.runtime.backend, k, row, position * k.strides[1]);
      return result;
    });
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
