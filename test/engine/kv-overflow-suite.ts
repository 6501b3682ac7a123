/** One suite over what computes: keys that are too large for a KV cache end a pass, and no text goes wrong. */
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { writeGguf } from '../../src/gguf/writer.js';
import { type KvType, loadModel, PacelineError } from '../../src/index.js';
import { type RandomTensor, randomModel } from '../../src/synthetic/random-model.js';
import { temporaryFile } from '../support/tiny-model.js';

const shape = { layers: 2, embedding: 64, inner: 96, heads: 2, kvHeads: 2, headDim: 64 } as const;
const options = { threads: 1, contextLength: 64 };
/** The only token whose embedding has something in the first dimension. */
const large = 300;

/** Multiplies the keys' weights for that dimension, so that only this token has large keys. */
function enlarge(factor: number): (tensor: RandomTensor) => RandomTensor {
  return (tensor) => {
    const values = Float32Array.from(tensor.values);
    const width = tensor.shape[0] ?? 0;
    if (tensor.name === 'token_embd.weight') {
      for (let at = 0; at < values.length; at += width) values[at] = at === large * width ? 1 : 0;
    } else if (tensor.name === 'blk.0.attn_k.weight') {
      for (let at = 0; at < values.length; at += width) values[at] = (values[at] ?? 0) * factor;
    }
    return { ...tensor, values };
  };
}

async function modelWith(factor: number): Promise<string> {
  const path = temporaryFile(`large-keys-${factor}.gguf`);
  const change = enlarge(factor);
  await writeGguf(path, randomModel({ architecture: 'llama', ...shape, change }));
  return path;
}

export function overflowSuite(what: string, types: readonly KvType[]): void {
  describe(`large keys, ${what}`, () => {
    let path = '';
    before(async () => {
      path = await modelWith(1e9);
    });

    for (const kvType of ['f16', 'q8_0'] as const) {
      it(`${kvType} refuses them, and the text stays as it was`, async () => {
        await using model = await loadModel(path, { ...options, kvType });
        const { runtime } = model;
        const fresh = runtime.createText();
        await runtime.run(fresh, [1, 2, 3]);
        const expected = await runtime.run(fresh, [4]);

        const text = runtime.createText();
        await runtime.run(text, [1, 2, 3]);
        // Once in a graph that is built for it, once in the one that was kept.
        for (const tokens of [[large], [5, large, 6], [large]]) {
          await assert.rejects(runtime.run(text, tokens), (error) => {
            assert.ok(PacelineError.is(error));
            assert.equal(error.code, 'bad-weights');
            assert.match(error.message, new RegExp(`KV cache of ${kvType}`));
            assert.match(error.hint ?? '', /--kv f32/);
            return true;
          });
          assert.equal(text.state.length, 3);
        }
        const found = await runtime.run(text, [4]);
        assert.deepEqual(found.logits, expected.logits);
      });
    }

    it('is told to whoever generates', async () => {
      await using model = await loadModel(path, { ...options, kvType: 'f16' });
      using session = model.createSession();
      // The first pass is well; it chooses the token that the second one cannot store.
      const logitBias = { [large]: 1e6 };
      await assert.rejects(
        session.generate('a', { maxTokens: 4, draft: 'none', logitBias }),
        (error) => PacelineError.is(error) && error.code === 'bad-weights',
      );
    });

    for (const kvType of types) {
      it(`${kvType} holds them`, async () => {
        await using model = await loadModel(path, { ...options, kvType });
        const { logits } = await model.runtime.run(model.runtime.createText(), [1, large, 2]);
        assert.ok(logits[0]?.every(Number.isFinite));
      });
    }
  });
}
