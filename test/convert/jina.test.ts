/** Checkpoints of Jina's second BERT: converted, they make the vectors of a reference that reads the checkpoint. */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { it } from 'node:test';
import { convertCheckpoint } from '../../src/convert/convert.js';
import { loadModel } from '../../src/engine/load.js';
import { readGguf } from '../../src/gguf/reader.js';
import { temporaryFile } from '../support/tiny-model.js';
import { safetensors, type Weights } from './checkpoint.js';
import {
  attend,
  EncoderParts,
  exactGelu,
  type Gelu,
  meanVector,
  multiplied,
  plus,
  type Row,
  TensorMaker,
  tanhGelu,
} from './encoder-parts.js';
import { words, writeWordPiece } from './wordpiece.js';

// Six heads are no power of two: slopes of the last ones are those of twice as many.
const config = {
  ...{ architectures: ['JinaBertForMaskedLM'], hidden_size: 48, intermediate_size: 56 },
  ...{ num_hidden_layers: 2, num_attention_heads: 6, max_position_embeddings: 64 },
  ...{ vocab_size: words.length, type_vocab_size: 2, layer_norm_eps: 1e-12 },
  ...{ position_embedding_type: 'alibi', feed_forward_type: 'geglu', hidden_act: 'gelu' },
};
const width = config.hidden_size;
const inner = config.intermediate_size;

/** @param code whether it is the form of the model for code. */
function tensors(code: boolean): Map<string, Weights> {
  const t = new TensorMaker();
  t.add('embeddings.word_embeddings.weight', [words.length, width], 1);
  t.add('embeddings.token_type_embeddings.weight', [2, width], 0.5);
  t.norm('embeddings.LayerNorm', width);
  for (let layer = 0; layer < config.num_hidden_layers; layer++) {
    const at = `encoder.layer.${layer}`;
    for (const part of ['query', 'key', 'value']) {
      t.linear(`${at}.attention.self.${part}`, width, width);
    }
    t.linear(`${at}.attention.output.dense`, width, width);
    t.norm(`${at}.attention.output.LayerNorm`, width);
    if (code) {
      t.norm(`${at}.attention.self.layer_norm_q`, width);
      t.norm(`${at}.attention.self.layer_norm_k`, width);
      t.norm(`${at}.layer_norm_1`, width);
      t.norm(`${at}.layer_norm_2`, width);
      t.linear(`${at}.mlp.up_gated_layer`, width, 2 * inner, false);
      t.linear(`${at}.mlp.down_layer`, inner, width);
    } else {
      t.linear(`${at}.mlp.gated_layers`, width, 2 * inner, false);
      t.linear(`${at}.mlp.wo`, inner, width);
      t.norm(`${at}.mlp.layernorm`, width);
    }
  }
  t.linear('pooler.dense', width, width);
  t.linear('cls.predictions.transform.dense', width, width);
  return t.found;
}

function checkpoint(weights: ReadonlyMap<string, Weights>, changed: object = {}): string {
  const folder = temporaryFile(`jina-${Math.random().toString(36).slice(2)}`);
  mkdirSync(join(folder, '1_Pooling'), { recursive: true });
  const write = (name: string, value: object) =>
    writeFileSync(join(folder, name), JSON.stringify(value));
  write('config.json', { ...config, ...changed });
  writeWordPiece(folder);
  write('1_Pooling/config.json', { pooling_mode_mean_tokens: true });
  writeFileSync(join(folder, 'model.safetensors'), safetensors([...weights], 'F32'));
  return folder;
}

/** How much of the distance a head takes off its scores: 2 to the -8/4, -16/4, ..., and between them. */
const slopes = [2 ** -2, 2 ** -4, 2 ** -6, 2 ** -8, 2 ** -1, 2 ** -3];

function vectorOf(
  weights: ReadonlyMap<string, Weights>,
  tokens: readonly number[],
  gelu: Gelu,
): Row {
  const parts = new EncoderParts(weights, config.layer_norm_eps);
  const code = weights.has('encoder.layer.0.layer_norm_1.weight');
  const type = parts.row('embeddings.token_type_embeddings.weight', 0, width);
  let rows = tokens.map((token) => {
    const word = parts.row('embeddings.word_embeddings.weight', token, width);
    return parts.norm(plus(word, type), 'embeddings.LayerNorm');
  });
  for (let layer = 0; layer < config.num_hidden_layers; layer++) {
    const name = `encoder.layer.${layer}`;
    const self = `${name}.attention.self`;
    const made = (part: string, norm?: string) =>
      rows.map((x) => {
        const y = parts.linear(x, `${self}.${part}`);
        return code && norm ? parts.norm(y, `${self}.${norm}`) : y;
      });
    const seen = attend(
      made('query', 'layer_norm_q'),
      made('key', 'layer_norm_k'),
      made('value'),
      config.num_attention_heads,
      (head, from, to) => -(slopes[head] as number) * Math.abs(from - to),
    );
    rows = rows.map((x, t) => {
      const out = parts.linear(seen[t] as Row, `${name}.attention.output.dense`);
      const once = parts.norm(plus(out, x), `${name}.attention.output.LayerNorm`);
      const y = code ? parts.norm(plus(once, x), `${name}.layer_norm_1`) : once;
      const both = parts.linear(y, `${name}.mlp.${code ? 'up_gated_layer' : 'gated_layers'}`);
      const [first, second] = [both.slice(0, inner), both.slice(inner)];
      const [gate, up] = code ? [second, first] : [first, second];
      const grown = parts.linear(
        multiplied(gate.map(gelu), up),
        `${name}.mlp.${code ? 'down_layer' : 'wo'}`,
      );
      return parts.norm(plus(grown, y), `${name}.${code ? 'layer_norm_2' : 'mlp.layernorm'}`);
    });
  }
  return meanVector(rows);
}

for (const code of [false, true]) {
  it(`becomes a file with its vectors, in the form of ${code ? 'the model for code' : 'the others'}`, async () => {
    const weights = tensors(code);
    const output = temporaryFile(`jina-${code}.gguf`);
    const { architecture } = await convertCheckpoint({ checkpoint: checkpoint(weights), output });
    assert.equal(architecture, 'jina-bert-v2');
    await using model = await loadModel(output, { threads: 1 });
    assert.deepEqual([model.info.pooling, model.info.contextLength], ['mean', 64]);
    const texts = ['The rivers of Europe.', 'a', 'bc the unknown river of the europe a b c'];
    const { vectors } = await model.embed(texts);
    for (const [index, text] of texts.entries()) {
      const ids = model.tokenizer.encode(text);
      const worst = (gelu: Gelu) =>
        Math.max(
          ...vectorOf(weights, ids, gelu).map((value, i) =>
            Math.abs(value - (vectors[index]?.[i] ?? 9)),
          ),
        );
      const [usual, exact] = [worst(tanhGelu), worst(exactGelu)];
      assert.ok(usual < 1e-5 && exact < 3e-4, `${text}: ${usual}, ${exact}`);
    }
  });
}

it('reads RoBERTa’s processing and pre-tokenizer', async () => {
  const folder = checkpoint(tensors(true));
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
  const weights = tensors(false);
  const refused = { code: 'unsupported-architecture' };
  const output = temporaryFile('jina-refused.gguf');
  const convert = (changed: object) =>
    convertCheckpoint({ checkpoint: checkpoint(weights, changed), output });
  await assert.rejects(convert({ position_embedding_type: 'absolute' }), refused);
  await assert.rejects(convert({ feed_forward_type: 'reglu' }), refused);
  weights.set('encoder.layer.0.extra.weight', { shape: [1], values: new Float32Array(1) });
  await assert.rejects(convert({}), refused);
});
