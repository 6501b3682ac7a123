/** Checkpoints of Jina's second BERT: converted, they make the vectors of a reference that reads the checkpoint. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { it } from 'node:test';
import { convertCheckpoint } from '../../src/convert/convert.js';
import { loadModel } from '../../src/engine/load.js';
import { readGguf } from '../../src/gguf/reader.js';
import { temporaryFile } from '../support/tiny-model.js';
import { assertVectors } from './encoder-parts.js';
import { jinaCheckpoint, jinaTensors, jinaVector } from './jina-checkpoints.js';

for (const code of [false, true]) {
  it(`becomes a file with its vectors, in the form of ${code ? 'the model for code' : 'the others'}`, async () => {
    const weights = jinaTensors(code);
    const output = temporaryFile(`jina-${code}.gguf`);
    const { architecture } = await convertCheckpoint({
      checkpoint: jinaCheckpoint(weights),
      output,
    });
    assert.equal(architecture, 'jina-bert-v2');
    await using model = await loadModel(output, { threads: 1 });
    assert.deepEqual([model.info.pooling, model.info.contextLength], ['mean', 64]);
    const bounds = { usual: 1e-5, exact: 3e-4 };
    await assertVectors(model, (ids, gelu) => jinaVector(weights, ids, gelu), bounds);
  });
}

it('reads RoBERTa’s processing and pre-tokenizer', async () => {
  const folder = jinaCheckpoint(jinaTensors(true));
  const marks = ['<s>', '<pad>', '</s>', '<unk>', '<mask>'];
  const vocab = Object.fromEntries([...marks, ...'abcdefghij'].map((text, id) => [text, id]));
  const write = (name: string, value: object) =>
    writeFileSync(join(folder, name), JSON.stringify(value));
  write('tokenizer.json', {
    model: { type: 'BPE', vocab, merges: [] },
    pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true },
    post_processor: { type: 'RobertaProcessing', sep: ['</s>', 2], cls: ['<s>', 0] },
    added_tokens: marks.map((content, id) => ({ id, content, special: true })),
  });
  write('tokenizer_config.json', { bos_token: '<s>', eos_token: '</s>', unk_token: '<unk>' });
  const output = temporaryFile('jina-roberta.gguf');
  await convertCheckpoint({ checkpoint: folder, output });
  await using file = await readGguf(output);
  assert.equal(file.string('tokenizer.ggml.pre'), 'jina-v2-code');
  await using model = await loadModel(output, { threads: 1 });
  assert.deepEqual(model.tokenizer.encode('ab'), [0, 5, 6, 2]);
  assert.deepEqual(model.tokenizer.encodePair('a', 'b'), [0, 5, 2, 2, 6, 2]);
});

it('is refused where it is another model', async () => {
  const weights = jinaTensors(false);
  const refused = { code: 'unsupported-architecture' };
  const output = temporaryFile('jina-refused.gguf');
  const convert = (changed: object) =>
    convertCheckpoint({ checkpoint: jinaCheckpoint(weights, changed), output });
  await assert.rejects(convert({ position_embedding_type: 'absolute' }), refused);
  await assert.rejects(convert({ feed_forward_type: 'reglu' }), refused);
  weights.set('encoder.layer.0.extra.weight', { shape: [1], values: new Float32Array(1) });
  await assert.rejects(convert({}), refused);
});
