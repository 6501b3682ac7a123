/** Checkpoints of BERT: converted, they make the vectors of a reference that reads the checkpoint. */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { convertCheckpoint } from '../../src/convert/convert.js';
import { loadModel } from '../../src/engine/load.js';
import { temporaryFile } from '../support/tiny-model.js';
import { bertVector } from './bert-reference.js';
import { bertTensors } from './bert-tensors.js';
import { safetensors, type Weights } from './checkpoint.js';
import { words, writeWordPiece } from './wordpiece.js';

const sizes = { layers: 2, heads: 2, embedding: 32, inner: 64, positions: 40, epsilon: 1e-12 };
const tensors = () => {
  const all = bertTensors({ ...sizes, vocab: words.length, types: 2 });
  return new Map([...all].filter(([name]) => !name.startsWith('classifier')));
};

function checkpoint(weights: ReadonlyMap<string, Weights>, changed: object = {}): string {
  const folder = temporaryFile(`bert-${Math.random().toString(36).slice(2)}`);
  mkdirSync(join(folder, '1_Pooling'), { recursive: true });
  const write = (name: string, value: object) =>
    writeFileSync(join(folder, name), JSON.stringify(value));
  write('config.json', {
    ...{ architectures: ['BertModel'], hidden_act: 'gelu', vocab_size: words.length },
    ...{ hidden_size: sizes.embedding, intermediate_size: sizes.inner, type_vocab_size: 2 },
    ...{ num_hidden_layers: sizes.layers, num_attention_heads: sizes.heads },
    ...{ max_position_embeddings: sizes.positions, layer_norm_eps: sizes.epsilon },
    ...changed,
  });
  writeWordPiece(folder);
  write('1_Pooling/config.json', { pooling_mode_mean_tokens: true, pooling_mode_cls_token: false });
  writeFileSync(join(folder, 'model.safetensors'), safetensors([...weights], 'F32'));
  return folder;
}

describe('a checkpoint of BERT', () => {
  it('becomes a file with its vectors and its tokens', async () => {
    const weights = tensors();
    const output = temporaryFile('bert.gguf');
    const result = await convertCheckpoint({ checkpoint: checkpoint(weights), output });
    assert.equal(result.architecture, 'bert');
    await using model = await loadModel(output, { threads: 1 });
    assert.deepEqual([model.info.pooling, model.info.contextLength], ['mean', sizes.positions]);
    const id = (text: string) => words.indexOf(text);
    assert.deepEqual(model.tokenizer.encode('The Rivers of Éurope.'), [
      ...['[CLS]', 'the', 'river', '##s', 'of', 'eu', '##rope', '.', '[SEP]'].map(id),
    ]);
    const texts = ['The rivers of Europe.', 'a', 'bc the unknown river'];
    const { vectors } = await model.embed(texts);
    for (const [at, text] of texts.entries()) {
      const tensorOf = (name: string) => weights.get(name)?.values ?? assert.fail(name);
      const expected = bertVector(tensorOf, sizes, model.tokenizer.encode(text));
      for (const [i, value] of expected.entries()) {
        // The engine's GELU is the tanh form, as libllama's.
        assert.ok(Math.abs(value - (vectors[at]?.[i] ?? 9)) < 1e-3, `${text}: ${i}`);
      }
    }
  });

  it('is refused where it is another model', async () => {
    const output = temporaryFile('bert-refused.gguf');
    const weights = tensors();
    const convert = (folder: string) => convertCheckpoint({ checkpoint: folder, output });
    const refused = { code: 'unsupported-architecture' };
    await assert.rejects(convert(checkpoint(weights, { hidden_act: 'relu' })), refused);
    const relative = { position_embedding_type: 'relative_key' };
    await assert.rejects(convert(checkpoint(weights, relative)), refused);
    weights.set('encoder.layer.0.extra.weight', { shape: [1], values: new Float32Array(1) });
    await assert.rejects(convert(checkpoint(weights)), refused);
  });
});
