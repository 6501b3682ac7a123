import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { loadModel } from '../../src/engine/load.js';
import type { Model } from '../../src/engine/model.js';
import { GgufValueType } from '../../src/gguf/types.js';
import { writeGguf } from '../../src/gguf/writer.js';
import { randomModel } from '../../src/synthetic/random-model.js';
import { Oracle } from '../oracle/libllama.js';
import { temporaryFile } from '../support/tiny-model.js';

/** A random model whose file says how it wants vectors pooled. */
async function modelWith(pooling: number): Promise<string> {
  const path = temporaryFile(`pooling-${pooling}.gguf`);
  const { metadata, tensors } = randomModel({
    architecture: 'llama',
    layers: 2,
    embedding: 64,
    heads: 2,
    kvHeads: 1,
    headDim: 32,
    inner: 64,
    context: 512,
  });
  const entries = new Map(metadata);
  entries.set('llama.pooling_type', { type: GgufValueType.UINT32, value: pooling });
  await writeGguf(path, { metadata: entries, tensors });
  return path;
}

/** What the pooling has to give, from all hidden states of one pass. */
async function expected(model: Model, tokens: readonly number[], pooling: string) {
  const { runtime } = model;
  const text = runtime.createText();
  const features = { hidden: true, rows: tokens.length };
  const { hidden } = await runtime.run(text, tokens, { features });
  runtime.release(text);
  assert.ok(hidden);
  const { width, rows, data } = hidden;
  const row = (index: number) => [...data.subarray(index * width, (index + 1) * width)];
  const vector =
    pooling === 'mean'
      ? row(0).map((_, i) => {
          let sum = 0;
          for (let r = 0; r < rows; r++) sum += data[r * width + i] ?? 0;
          return sum / rows;
        })
      : row(pooling === 'cls' ? 0 : rows - 1);
  const length = Math.hypot(...vector);
  return vector.map((value) => value / length);
}

function assertClose(actual: Float32Array | undefined, wanted: readonly number[]): void {
  assert.equal(actual?.length, wanted.length);
  for (const [i, value] of wanted.entries()) {
    assert.ok(Math.abs((actual?.[i] ?? 9) - value) < 1e-5, `value ${i}`);
  }
}

describe('embed', () => {
  let model: Model;
  const long = Array.from({ length: 300 }, (_, i) => 1 + (i % 40));
  before(async () => {
    model = await loadModel(await modelWith(1), { threads: 1 });
  });
  after(() => model.dispose());

  it('pools hidden states, in passes of any number', async () => {
    assert.equal(model.info.pooling, 'mean');
    for (const pooling of ['mean', 'cls', 'last'] as const) {
      const { vectors } = await model.embed([[5, 6, 7], long], { pooling });
      assertClose(vectors[0], await expected(model, [5, 6, 7], pooling));
      assertClose(vectors[1], await expected(model, long, pooling));
    }
    const { pooling, tokens } = await model.embed([[5], [6, 7]]);
    assert.deepEqual([pooling, tokens], ['mean', 3]);
  });

  it('agrees with libllama', async () => {
    for (const pooling of [1, 2, 3]) {
      const path = await modelWith(pooling);
      await using ours = await loadModel(path, { threads: 1, kvType: 'f16' });
      const tokens = long.slice(0, 100);
      using oracle = new Oracle(path, { embeddings: true });
      const theirs = oracle.embed(tokens, ours.info.embeddingLength);
      const length = Math.hypot(...theirs);
      const [vector] = (await ours.embed([tokens])).vectors;
      const cosine = theirs.reduce(
        (sum, value, i) => sum + (value / length) * (vector?.[i] ?? 0),
        0,
      );
      assert.ok(cosine > 0.999, `pooling ${pooling}: ${cosine}`);
    }
  });

  it('gives a text the same bytes whatever comes with it', async () => {
    const text = 'let x = 1;';
    const together = await model.embed(['before', text, long]);
    const alone = await model.embed([text]);
    assert.deepEqual(together.vectors[1], alone.vectors[0]);
  });

  it('cuts vectors, which keep length 1', async () => {
    const { vectors } = await model.embed(['x'], { dimensions: 3 });
    assert.equal(vectors[0]?.length, 3);
    assert.ok(Math.abs(Math.hypot(...(vectors[0] ?? [])) - 1) < 1e-6);
  });

  it('refuses what it can’t do', async () => {
    await assert.rejects(model.embed(['x'], { dimensions: 65 }), { code: 'usage' });
    await assert.rejects(model.embed(['x'], { dimensions: 0 }), { code: 'usage' });
    await assert.rejects(model.embed('x' as never), { code: 'usage' });
    await assert.rejects(model.embed([[1e9]]), { code: 'usage' });
    await assert.rejects(model.embed([[...long, ...long]]), { code: 'context-overflow' });
    await assert.rejects(model.embed(['x'], { signal: AbortSignal.abort() }), { code: 'aborted' });
    await using ranks = await loadModel(await modelWith(4), { threads: 1 });
    await assert.rejects(ranks.embed(['x']), { code: 'platform' });
    await assert.rejects(loadModel(await modelWith(9)), { code: 'broken-file' });
  });
});
