/**
 * `reproducible: 'everywhere'`: the logits of the embedded model have the bytes that are recorded here,
 * whatever machine this is, with every cache type; what cannot keep that is refused.
 * `test/ggml/native/portable.long.ts` does the same over the kernels, for other processors too.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import { Backend } from '../../src/ggml/backend.js';
import { nativeKernels } from '../../src/ggml/native/library.js';
import { writeGguf } from '../../src/gguf/writer.js';
import { type KvType, loadModel, PacelineError } from '../../src/index.js';
import { randomModel } from '../../src/synthetic/random-model.js';
import { shapes } from '../oracle/shapes.js';
import { temporaryFile } from '../support/tiny-model.js';

const tokens = Array.from({ length: 90 }, (_, at) => (at * 37 + 11) % 500);
const recorded: Readonly<Record<KvType, string>> = {
  f16: '7ec055a3233746bb78d026ba26be94638323a401e9328b87b9ee212de79db2a5',
  q8_0: '62470d8cdec88551ddb1e0f5f502a6552e141275ddb0097b40f9a521b221db3e',
  f32: 'ce3aee0a566ae03f5433bc0600e71352c5c1ceb9de4288c1c6d53b0d852a2707',
  i16: '50cb82079055382c980328c7908bc682075168e478c82230a2b074f705559395',
};
const everywhere = { reproducible: 'everywhere', contextLength: 256, draftModels: [] } as const;

function refusedAs(code: string, pattern: RegExp) {
  return (error: unknown) =>
    PacelineError.is(error) && error.code === code && pattern.test(error.message);
}

describe('the same bytes everywhere', () => {
  for (const kvType of Object.keys(recorded) as KvType[]) {
    it(`with a cache of ${kvType}`, async () => {
      await using model = await loadModel('default', { ...everywhere, kvType });
      assert.match(model.info.kernels, /^native scalar /);
      const { runtime } = model;
      const hash = createHash('sha256');
      const text = runtime.createText({ drafterSources: [] });
      // A prefill, a pass over some rows, and single ones.
      for (const [from, to] of [
        [0, 70],
        [70, 88],
        [88, 89],
        [89, 90],
      ] as const) {
        const { logits } = await runtime.run(text, tokens.slice(from, to), { outputs: 'all' });
        for (const row of logits) hash.update(row);
      }
      assert.equal(hash.digest('hex'), recorded[kvType]);
    });
  }

  it('is refused by encoders, whose norm and GELU are ggml’s', async () => {
    const path = temporaryFile('everywhere-bert.gguf');
    const shape = { layers: 1, embedding: 64, heads: 2, inner: 96, context: 128 } as const;
    await writeGguf(path, randomModel({ architecture: 'bert', ...shape }));
    await assert.rejects(
      loadModel(path, { ...everywhere, contextLength: 128 }),
      refusedAs('usage', /of norm, ggml_gelu they depend on the machine/),
    );
    await using usual = await loadModel(path, { threads: 1 });
    assert.equal((await usual.embed(['a'])).vectors.length, 1);
  });

  it('has a cache of f16 unless another is asked for, and ends with the model', async () => {
    const usual = nativeKernels().kernels?.path;
    {
      await using model = await loadModel('default', everywhere);
      assert.equal(model.info.kvType, 'f16');
      assert.equal(nativeKernels().kernels?.path, 'scalar');
    }
    using backend = new Backend({ threads: 1 });
    assert.equal(backend.reproducible, false);
    assert.equal(nativeKernels().kernels?.path, usual);
  });

  it('is refused beside a model without it, and the other way round', async () => {
    const beside = refusedAs('usage', /in one process/);
    {
      await using model = await loadModel('default', { contextLength: 64 });
      await assert.rejects(loadModel('default', everywhere), beside);
      assert.equal((await model.generate('a', { maxTokens: 2, seed: 1 })).tokens.length, 2);
    }
    await using model = await loadModel('default', everywhere);
    await assert.rejects(loadModel('default'), beside);
    await using second = await loadModel('default', everywhere);
    const texts = await Promise.all(
      [model, second].map((each) => each.generate('a', { maxTokens: 20, seed: 1 })),
    );
    assert.equal(texts[0]?.text, texts[1]?.text);
  });

  it('is refused to a model that needs sums of ggml, by name', async () => {
    const path = temporaryFile('not-everywhere.gguf');
    // Its router chooses experts by ggml's operations.
    await writeGguf(path, randomModel({ vocab: 331, ...shapes.olmoe?.[0], architecture: 'olmoe' }));
    await assert.rejects(loadModel(path, everywhere), refusedAs('usage', /soft_max/));
    await using model = await loadModel(path, { contextLength: 64 });
    assert.match(model.info.kernels, /^native /);
  });
});
