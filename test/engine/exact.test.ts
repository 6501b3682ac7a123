/**
 * `exact` on a device whose rows depend on what is computed with them: here the CPU, with an error
 * added to the logits of every pass of several rows. The text must be that of single steps.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { measureRounding } from '../../src/engine/measure-rounding.js';
import { Rounding } from '../../src/engine/rounding.js';
import type { DraftKind } from '../../src/engine/types.js';
import { loadModel, type Model } from '../../src/index.js';

const prompts = ['export function ', 'import { readFile } from '];
const drafts: readonly DraftKind[] = ['ngram', 'mtp', 'dflash', 'auto'];
/** How far logits are off. */
const error = 0.6;

describe('exact', () => {
  let model: Model;

  before(async () => {
    model = await loadModel('default', { contextLength: 512 });
    const { runner } = model.runtime;
    const run = runner.run.bind(runner);
    let state = 1;
    runner.run = async (requests, signal) => {
      const outcome = await run(requests, signal);
      const rows = requests.reduce((sum, { tokens }) => sum + tokens.length, 0);
      // A prompt is read in the same pass with drafts and without.
      if (rows === 1 || requests.some(({ outputs }) => outputs !== 'all')) return outcome;
      for (const row of outcome.results.flatMap(({ logits }) => logits)) {
        for (let at = 0; at < row.length; at++) {
          state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
          row[at] = (row[at] as number) + error * (state / 2 ** 31 - 1);
        }
      }
      return outcome;
    };
  });
  after(() => model.dispose());

  const tokensOf = async (prompt: string, draft: DraftKind, temperature: number) => {
    const options = { maxTokens: 40, temperature, seed: 3, draft } as const;
    const { tokens, draft: report } = await model.generate(prompt, options);
    return { tokens, ...report };
  };

  it('measures how far logits are off', async () => {
    const { largest, bound } = await measureRounding(model.runtime);
    assert.ok(largest > 0.9 * error && largest <= error + 1e-5, `${largest}`);
    assert.equal(bound, 4 * largest);
  });

  it('keeps the text with every drafter, where it would change without', async () => {
    let changed = 0;
    let rechecked = 0;
    for (const temperature of [0, 0.8]) {
      for (const prompt of prompts) {
        model.runtime.rounding = undefined;
        const plain = await tokensOf(prompt, 'none', temperature);
        assert.equal(plain.rechecked, undefined);
        for (const draft of drafts) {
          model.runtime.rounding = undefined;
          const loose = await tokensOf(prompt, draft, temperature);
          if (String(loose.tokens) !== String(plain.tokens)) changed++;
          const rounding = new Rounding();
          rounding.compare(Float32Array.of(error), Float32Array.of(0));
          model.runtime.rounding = rounding;
          const exact = await tokensOf(prompt, draft, temperature);
          assert.deepEqual(exact.tokens, plain.tokens, `${draft} at ${temperature}: ${prompt}`);
          rechecked += exact.rechecked ?? 0;
        }
      }
    }
    assert.ok(changed > 0, 'the error changes no text, so nothing was tested');
    assert.ok(rechecked > 0);
  });

  it('keeps texts apart that share passes', async () => {
    const rounding = new Rounding();
    rounding.compare(Float32Array.of(error), Float32Array.of(0));
    model.runtime.rounding = rounding;
    const plain = [];
    for (const prompt of prompts) plain.push((await tokensOf(prompt, 'none', 0)).tokens);
    const together = await Promise.all(prompts.map((prompt) => tokensOf(prompt, 'ngram', 0)));
    assert.deepEqual(
      together.map(({ tokens }) => tokens),
      plain,
    );
  });
});
