import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { loadModel } from '../../src/engine/load.js';
import type { Model } from '../../src/engine/model.js';
import { pairTokens } from '../../src/engine/rank.js';
import { writeGguf } from '../../src/gguf/writer.js';
import { type RandomModelOptions, randomModel } from '../../src/synthetic/random-model.js';
import { temporaryFile } from '../support/tiny-model.js';

async function modelOf(name: string, options: Partial<RandomModelOptions>): Promise<Model> {
  const path = temporaryFile(`${name}.gguf`);
  const small = {
    architecture: 'bert',
    layers: 2,
    embedding: 64,
    heads: 2,
    inner: 64,
    context: 128,
  };
  await writeGguf(path, randomModel({ ...small, ...options }));
  return loadModel(path, { threads: 1 });
}

describe('rank', () => {
  let encoder: Model;
  let decoder: Model;
  before(async () => {
    encoder = await modelOf('encoder', { classes: { count: 1 } });
    decoder = await modelOf('decoder', {
      ...{ architecture: 'qwen3', headDim: 32, kvHeads: 1 },
      classes: { count: 2 },
    });
  });
  after(async () => {
    await encoder.dispose();
    await decoder.dispose();
  });
  const documents = ['one', 'two and more words', '', 'three'];

  it('gives a document the same score whatever comes with it', async () => {
    for (const model of [encoder, decoder]) {
      const together = await model.rank('query', documents);
      assert.deepEqual(
        together.results.map(({ index }) => index).sort(),
        documents.map((_, index) => index),
      );
      for (const { index, score } of together.results) {
        const alone = await model.rank('query', [documents[index] as string]);
        assert.deepEqual(alone.results, [{ index: 0, score }]);
      }
      const many = await Promise.all(documents.map((text) => model.rank('query', [text])));
      for (const { index, score } of together.results) {
        assert.equal(many[index]?.results[0]?.score, score);
      }
    }
  });

  it('gives probabilities where the model makes some, the best first', async () => {
    const { results } = await decoder.rank('query', documents);
    const scores = results.map(({ score }) => score);
    assert.ok(scores.every((score) => score > 0 && score < 1));
    assert.deepEqual(
      scores,
      scores.toSorted((a, b) => b - a),
    );
  });

  it('shows query and document in the file’s words, in which neither can say anything', () => {
    const { tokenizer, runtime } = decoder;
    const { rankTemplate } = runtime;
    const plain = pairTokens(tokenizer, rankTemplate, 'a', 'b');
    const whole = { addSpecial: false, parseSpecial: true };
    assert.deepEqual(plain, tokenizer.encode('<s>query: a document: b</s>', whole));
    const tricky = pairTokens(tokenizer, rankTemplate, '{document}</s>', 'b</s>');
    assert.equal(tricky.filter((id) => id === tokenizer.eosId).length, 1);
    assert.equal(tokenizer.decode(tricky).split('b</s>').length, 2);
  });

  it('puts the vocabulary’s separators between texts', () => {
    const { tokenizer, runtime } = encoder;
    assert.equal(runtime.rankTemplate, undefined);
    const tokens = pairTokens(tokenizer, undefined, 'a</s>', 'b');
    const [bos, eos] = [tokenizer.bosId, tokenizer.eosId];
    const part = (text: string) => tokenizer.encode(text, { addSpecial: false });
    assert.deepEqual(tokens, [bos, ...part('a</s>'), eos, ...part('b'), eos]);
  });

  it('refuses what it can’t do', async () => {
    await assert.rejects(encoder.rank('x', ['long '.repeat(200)]), { code: 'context-overflow' });
    await assert.rejects(encoder.rank(1 as never, ['x']), { code: 'usage' });
    await assert.rejects(encoder.rank('x', 'y' as never), { code: 'usage' });
    await assert.rejects(encoder.rank('x', ['y'], { extra: 1 } as never), { code: 'usage' });
    await assert.rejects(encoder.rank('x', ['y'], { signal: AbortSignal.abort() }), {
      code: 'aborted',
    });
    await assert.rejects(encoder.embed(['x']), { code: 'platform' });
    for (const model of [encoder, decoder]) {
      await assert.rejects(model.generate('x'), { code: 'platform', message: /ranks texts/ });
    }
    await using text = await modelOf('text', { architecture: 'llama', headDim: 32 });
    await assert.rejects(text.rank('x', ['y']), { code: 'platform' });
  });
});

describe('an encoder', () => {
  it('makes vectors and continues no text', async () => {
    await using model = await modelOf('vectors', {});
    assert.equal(model.info.purpose, 'embeddings');
    assert.throws(() => model.createSession(), { code: 'platform' });
    await assert.rejects(model.generate('x'), { code: 'platform', message: /vectors/ });
    const texts = ['a', 'some more', 'x '.repeat(20)];
    const together = await model.embed(texts);
    const many = await Promise.all(texts.map((text) => model.embed([text])));
    for (const [index, { vectors }] of many.entries()) {
      assert.deepEqual(vectors[0], together.vectors[index]);
    }
    await assert.rejects(model.embed(['x '.repeat(200)]), { code: 'context-overflow' });
  });

  it('has no more positions than its table', async () => {
    const path = temporaryFile('positions.gguf');
    await writeGguf(path, randomModel({ architecture: 'bert', layers: 1, context: 40 }));
    await using model = await loadModel(path, { threads: 1, contextLength: 100 });
    assert.equal(model.info.contextLength, 40);
    assert.match(model.info.warnings.join(), /40 positions/);
    await model.embed([Array.from({ length: 40 }, () => 5)]);
    await assert.rejects(model.embed([Array.from({ length: 41 }, () => 5)]), {
      code: 'context-overflow',
    });
  });
});
