import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PacelineError } from '../../src/base/errors.js';
import { chunksOf } from '../../src/bench/evaluator.js';
import { perplexity } from '../../src/bench/perplexity.js';
import { GgmlType } from '../../src/ggml/types.js';
import { readGguf } from '../../src/gguf/reader.js';
import { createTokenizer } from '../../src/tokenizer/tokenizer.js';
import { randomModelFile } from '../convert/quantize-support.js';
import { Oracle } from '../oracle/libllama.js';

/** Letters that the random models' vocabulary has. */
const text = Array.from({ length: 400 }, (_, at) =>
  String.fromCharCode(97 + ((at * at) % 26)),
).join('');
const settings = { text, contextLength: 32, threads: 1 } as const;

/** Logits after each token, from libllama, as logarithms of probabilities in double precision. */
function logProbabilities(path: string, tokens: readonly number[]): Float64Array[] {
  using oracle = new Oracle(path, { cacheType: GgmlType.F32 });
  return oracle.decode(tokens).map((logits) => {
    const largest = Math.max(...logits);
    const sum = logits.reduce((all, logit) => all + Math.exp(logit - largest), 0);
    return Float64Array.from(logits, (logit) => logit - largest - Math.log(sum));
  });
}

test('nats and divergence are what libllama’s logits give', async () => {
  const model = await randomModelFile({ architecture: 'llama', layers: 2, tied: false });
  const other = await randomModelFile({ architecture: 'llama', layers: 1, seed: 2, tied: false });
  const result = await perplexity({
    ...{ ...settings, model, kvType: 'f32', against: other, againstKv: 'f32' },
    chunks: 3,
  });
  await using file = await readGguf(model);
  const chunks = chunksOf(createTokenizer(file), text, 32).slice(0, 3);
  const nats: number[] = [];
  const divergences: number[] = [];
  for (const chunk of chunks) {
    assert.equal(chunk[0], 1, 'chunks begin with BOS');
    const [p, q] = [logProbabilities(model, chunk), logProbabilities(other, chunk)];
    for (let place = 16; place < 31; place++) {
      const [own, reference] = [p[place] as Float64Array, q[place] as Float64Array];
      nats.push(-(own[chunk[place + 1] as number] as number));
      divergences.push(
        reference.reduce((sum, log, at) => sum + Math.exp(log) * (log - (own[at] as number)), 0),
      );
    }
  }
  const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;
  assert.equal(result.scored, nats.length);
  assert.ok(Math.abs(result.nats.mean - mean(nats)) < 1e-4);
  assert.equal(result.perplexity, Math.exp(result.nats.mean));
  const { against } = result;
  assert.ok(against !== undefined && mean(divergences) > 0.1);
  assert.ok(Math.abs(against.divergence.mean / mean(divergences) - 1) < 1e-3);
  assert.ok(Math.abs(against.divergence.max / Math.max(...divergences) - 1) < 1e-3);
  assert.ok(against.sameTop < 1);
});

test('a model does not differ from itself', async () => {
  const model = await randomModelFile({ architecture: 'qwen3', layers: 1 });
  const { against, nats, kvType } = await perplexity({ ...settings, model, against: model });
  assert.equal(against?.kvType, kvType);
  assert.equal(against?.nats.mean, nats.mean);
  assert.ok((against?.divergence.max ?? 1) < 1e-12);
  assert.equal(against?.sameTop, 1);
});

test('short texts and other vocabularies are refused', async () => {
  const model = await randomModelFile({ architecture: 'llama', layers: 1 });
  const other = await randomModelFile({ architecture: 'llama', layers: 1, vocab: 340 });
  const codeOf = (options: object) =>
    perplexity({ ...settings, model, ...options }).then(
      () => undefined,
      (error: unknown) => (PacelineError.is(error) ? error.code : error),
    );
  assert.equal(await codeOf({ text: 'abc' }), 'usage');
  assert.equal(await codeOf({ against: other }), 'usage');
  assert.equal(await codeOf({ signal: AbortSignal.abort() }), 'aborted');
});
