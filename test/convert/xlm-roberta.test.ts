/**
 * Checkpoints of XLM-RoBERTa, as embedding models (BGE-M3) and rerankers, and rerankers of BERT: vectors and
 * scores are those of a reference that reads the checkpoint, and tokens those that PyPI's tokenizers gave
 * (`oracle/unigram.py` recorded them).
 */
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { convertCheckpoint } from '../../src/convert/convert.js';
import { loadModel } from '../../src/engine/load.js';
import { temporaryFile } from '../support/tiny-model.js';
import { bertRows, classScore, unit } from './bert-reference.js';
import { bertTensors } from './bert-tensors.js';
import { safetensors, type Weights } from './checkpoint.js';
import { words, writeWordPiece } from './wordpiece.js';

interface Recorded {
  readonly tokenizer: { readonly [key: string]: unknown; readonly model: { vocab: unknown[] } };
  readonly texts: readonly { readonly text: string; readonly tokens: readonly number[] }[];
  readonly pairs: readonly {
    readonly pair: readonly [string, string];
    readonly tokens: readonly number[];
  }[];
}

const recorded = JSON.parse(
  readFileSync(new URL('fixtures/unigram.json', import.meta.url), 'utf8'),
) as Recorded;
const vocab = recorded.tokenizer.model.vocab.length;
const sizes = { layers: 2, heads: 2, embedding: 32, inner: 64, positions: 66, epsilon: 1e-5 };
const roberta = { ...sizes, offset: 2 };

interface Options {
  readonly prefix?: string;
  /** Tensors that the class has beside those of the encoder. */
  readonly head?: RegExp;
  readonly changed?: object;
}

function write(folder: string, name: string, value: object): void {
  writeFileSync(join(folder, name), JSON.stringify(value));
}

function checkpoint(
  name: string,
  size: number,
  { prefix = '', head = /^$/, changed = {} }: Options,
): { folder: string; tensorOf: (tensor: string) => Float32Array } {
  const folder = temporaryFile(`${name}-${Math.random().toString(36).slice(2)}`);
  mkdirSync(join(folder, '1_Pooling'), { recursive: true });
  write(folder, 'config.json', {
    ...{ architectures: [name], hidden_act: 'gelu', vocab_size: size, pad_token_id: 1 },
    ...{ hidden_size: sizes.embedding, intermediate_size: sizes.inner, type_vocab_size: 1 },
    ...{ num_hidden_layers: sizes.layers, num_attention_heads: sizes.heads },
    ...{ max_position_embeddings: sizes.positions, layer_norm_eps: sizes.epsilon },
    ...{ position_embedding_type: 'absolute', ...changed },
  });
  const weights = bertTensors({ ...sizes, vocab: size, types: 1 });
  const kept = [...weights].flatMap(([tensor, value]): [string, Weights][] => {
    const own = !/^(pooler|classifier)/.test(tensor);
    // A pooler stands with the encoder, a classifier beside it.
    const stands = own || tensor.startsWith('pooler') ? `${prefix}${tensor}` : tensor;
    return own || head.test(tensor) ? [[stands, value]] : [];
  });
  writeFileSync(join(folder, 'model.safetensors'), safetensors(kept, 'F32'));
  return { folder, tensorOf: (tensor) => weights.get(tensor)?.values ?? assert.fail(tensor) };
}

function writeUnigram(folder: string, tokenizer: object = recorded.tokenizer): void {
  write(folder, 'tokenizer.json', tokenizer);
  write(folder, 'tokenizer_config.json', {
    ...{ bos_token: '<s>', eos_token: '</s>', unk_token: '<unk>', sep_token: '</s>' },
    ...{ cls_token: '<s>', pad_token: '<pad>', mask_token: { content: '<mask>' } },
    tokenizer_class: 'XLMRobertaTokenizer',
  });
}

async function converted(folder: string) {
  const output = temporaryFile(`xlm-${Math.random().toString(36).slice(2)}.gguf`);
  const { architecture } = await convertCheckpoint({ checkpoint: folder, output });
  assert.equal(architecture, 'bert');
  return await loadModel(output, { threads: 1 });
}

// The engine's GELU is the tanh form, as libllama's.
const near = (found: number, expected: number) => Math.abs(found - expected) < 1e-3;

describe('checkpoints of XLM-RoBERTa', () => {
  it('become files with their vectors and tokens', async () => {
    const { folder, tensorOf } = checkpoint('XLMRobertaModel', vocab, { head: /^pooler/ });
    writeUnigram(folder);
    write(folder, '1_Pooling/config.json', { pooling_mode_cls_token: true });
    write(folder, 'modules.json', [{ type: 'sentence_transformers.models.Pooling' }]);
    await using model = await converted(folder);
    const { pooling, contextLength } = model.info;
    assert.deepEqual([pooling, contextLength], ['cls', sizes.positions - roberta.offset]);
    for (const { text, tokens } of recorded.texts) {
      const found = model.tokenizer.encode(text, { parseSpecial: true });
      assert.deepEqual(found, tokens, JSON.stringify(text));
    }
    const texts = ['What is the capital of Japan?', 'a'];
    const { vectors } = await model.embed(texts);
    for (const [at, text] of texts.entries()) {
      const [row = []] = bertRows(tensorOf, roberta, model.tokenizer.encode(text));
      for (const [i, value] of unit(row).entries()) {
        assert.ok(near(vectors[at]?.[i] ?? 9, value), `${text}: ${i}`);
      }
    }
  });

  it('rank by their head, and see pairs as they were trained', async () => {
    const name = 'XLMRobertaForSequenceClassification';
    const head = /^classifier\.(dense|out_proj)/;
    const options = { prefix: 'roberta.', head, changed: { id2label: { 0: 'LABEL_0' } } };
    const { folder, tensorOf } = checkpoint(name, vocab, options);
    writeUnigram(folder);
    await using model = await converted(folder);
    for (const { pair, tokens } of recorded.pairs) {
      assert.deepEqual(model.tokenizer.encodePair(...pair), tokens);
    }
    const query = 'What is the capital of France?';
    const documents = ['Paris.', 'The river flows to the sea.'];
    const { results } = await model.rank(query, documents);
    for (const { index, score } of results) {
      const tokens = model.tokenizer.encodePair(query, documents[index] ?? '');
      const [row = []] = bertRows(tensorOf, roberta, tokens);
      const expected = classScore(tensorOf, ['classifier.dense', 'classifier.out_proj'], row);
      assert.ok(near(score, expected), `${score} ${expected}`);
    }
  });

  it('are refused where they do what the engine does not', async () => {
    const output = temporaryFile('xlm-refused.gguf');
    const convert = (folder: string) => convertCheckpoint({ checkpoint: folder, output });
    const { folder } = checkpoint('XLMRobertaModel', vocab, {});
    const { model, ...rest } = recorded.tokenizer;
    for (const wrong of [
      { ...rest, model: { ...model, byte_fallback: true } },
      { ...rest, model, pre_tokenizer: { type: 'Whitespace' } },
      { ...rest, model, normalizer: { type: 'Lowercase' } },
    ]) {
      writeUnigram(folder, wrong);
      await assert.rejects(convert(folder), { code: 'unsupported-tokenizer' });
    }
    writeUnigram(folder);
    const dense = { type: 'sentence_transformers.models.Dense', path: '2_Dense' };
    write(folder, 'modules.json', [dense]);
    await assert.rejects(convert(folder), { code: 'unsupported-architecture' });
    const labels = { id2label: { 0: 'a', 1: 'b', 2: 'c' } };
    const three = checkpoint('XLMRobertaForSequenceClassification', vocab, { changed: labels });
    writeUnigram(three.folder);
    await assert.rejects(convert(three.folder), { code: 'unsupported-architecture' });
  });
});

it('a reranker of BERT has its pooler before the classifier', async () => {
  const name = 'BertForSequenceClassification';
  const changed = { id2label: { 0: 'LABEL_0' }, pad_token_id: 0 };
  const head = /^(pooler\.|classifier\.(weight|bias))/;
  const options = { prefix: 'bert.', head, changed };
  const { folder, tensorOf } = checkpoint(name, words.length, options);
  writeWordPiece(folder);
  await using model = await converted(folder);
  const documents = ['a river', 'eu'];
  const { results } = await model.rank('the river', documents);
  for (const { index, score } of results) {
    const tokens = model.tokenizer.encodePair('the river', documents[index] ?? '');
    const [row = []] = bertRows(tensorOf, sizes, tokens);
    const expected = classScore(tensorOf, ['pooler.dense', 'classifier'], row);
    assert.ok(near(score, expected), `${score} ${expected}`);
  }
});
