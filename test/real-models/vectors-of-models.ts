/** A real embedding model, converted from its checkpoint, against BERT in double precision and libllama. */
import assert from 'node:assert/strict';
import { cpSync, existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { convertCheckpoint } from '../../src/convert/convert.js';
import { openSafetensors } from '../../src/convert/safetensors.js';
import { loadModel } from '../../src/engine/load.js';
import { bertVector } from '../convert/bert-reference.js';
import { Oracle } from '../oracle/libllama.js';
import { temporaryFile } from '../support/tiny-model.js';
import { OracleVocabulary } from '../tokenizer/libllama-vocabulary.js';

const folder = process.env.PACELINE_REAL_MODELS ?? '';
const name = 'all-minilm-l6-v2';
const files = {
  safetensors: 'model.safetensors',
  'config.json': 'config.json',
  'tokenizer.json': 'tokenizer.json',
  'tokenizer_config.json': 'tokenizer_config.json',
  'pooling.json': '1_Pooling/config.json',
};
const there = Object.keys(files).every((part) => existsSync(join(folder, `${name}.${part}`)));

const texts = [
  'That is a happy person',
  'That is a happy dog',
  'That is a very happy person',
  'Today is a sunny day',
  'Café naïve über 東京 — tokens!',
];

if (there) {
  test(`${name}: vectors are those of the checkpoint and of libllama`, async (t) => {
    const checkpoint = temporaryFile(name);
    for (const [part, target] of Object.entries(files)) {
      mkdirSync(join(checkpoint, target, '..'), { recursive: true });
      cpSync(join(folder, `${name}.${part}`), join(checkpoint, target));
    }
    const output = temporaryFile(`${name}.gguf`);
    await convertCheckpoint({ checkpoint, output });
    await using model = await loadModel(output);
    const { vectors, pooling } = await model.embed(texts);
    assert.equal(pooling, 'mean');

    const { source, tensors } = await openSafetensors(join(checkpoint, 'model.safetensors'));
    const weights = new Map<string, Float32Array>();
    for (const [key, tensor] of tensors) {
      const bytes = new Uint8Array(tensor.bytes);
      await source.read(bytes, tensor.offset);
      weights.set(key, new Float32Array(bytes.buffer));
    }
    await source.close();
    const tensorOf = (key: string) => weights.get(key) ?? assert.fail(key);
    const sizes = { layers: 6, heads: 12, embedding: 384, epsilon: 1e-12 };
    using vocabulary = new OracleVocabulary(output);
    let [fromReference, fromLibllama] = [0, 0];
    for (const [at, text] of texts.entries()) {
      const tokens = model.tokenizer.encode(text);
      assert.deepEqual(tokens, vocabulary.encode(text, true, false));
      const vector = vectors[at] as Float32Array;
      const expected = bertVector(tensorOf, sizes, tokens);
      using oracle = new Oracle(output, { embeddings: true });
      const theirs = oracle.embed(tokens, sizes.embedding);
      const length = Math.hypot(...theirs);
      for (const [i, value] of vector.entries()) {
        fromReference = Math.max(fromReference, Math.abs(value - (expected[i] as number)));
        fromLibllama = Math.max(fromLibllama, Math.abs(value - (theirs[i] as number) / length));
      }
    }
    t.diagnostic(
      `largest difference: ${fromReference} from the checkpoint, ${fromLibllama} from libllama`,
    );
    // Its GELU is the exact one, libllama's and ours the tanh form.
    assert.ok(fromReference < 2e-3);
    assert.ok(fromLibllama < 2e-4);
  });
}
