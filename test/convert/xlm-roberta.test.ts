/**
 * Checkpoints of XLM-RoBERTa, as embedding models (BGE-M3) and rerankers, and rerankers of BERT: vectors and
 * scores are those of a reference that reads the checkpoint, and tokens those that PyPI's tokenizers gave
 * (`oracle/unigram.py` recorded them).
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { convertCheckpoint } from '../../src/convert/convert.js';
import { loadModel } from '../../src/engine/load.js';
import { temporaryFile } from '../support/tiny-model.js';
import { bertCheckpoint, roberta, sizes, writeJson } from './bert-checkpoints.js';
import { bertRows, classScore, unit } from './bert-reference.js';
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
function writeUnigram(folder: string, tokenizer: object = recorded.tokenizer): void {
  writeJson(folder, 'tokenizer.json', tokenizer);
  writeJson(folder, 'tokenizer_config.json', {
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
    const { folder, tensorOf } = bertCheckpoint('XLMRobertaModel', vocab, { head: /^pooler/ });
    writeUnigram(folder);
    writeJson(folder, '1_Pooling/config.json', { pooling_mode_cls_token: true });
    writeJson(folder, 'modules.json', [{ type: 'sentence_transformers.models.Pooling' }]);
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
    const { folder, tensorOf } = bertCheckpoint(name, vocab, options);
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
    const { folder } = bertCheckpoint('XLMRobertaModel', vocab, {});
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
    writeJson(folder, 'modules.json', [dense]);
    await assert.rejects(convert(folder), { code: 'unsupported-architecture' });
    const labels = { id2label: { 0: 'a', 1: 'b', 2: 'c' } };
    const three = bertCheckpoint('XLMRobertaForSequenceClassification', vocab, { changed: labels });
    writeUnigram(three.folder);
    await assert.rejects(convert(three.folder), { code: 'unsupported-architecture' });
  });
});

it('a reranker of BERT has its pooler before the classifier', async () => {
  const name = 'BertForSequenceClassification';
  const changed = { id2label: { 0: 'LABEL_0' }, pad_token_id: 0 };
  const head = /^(pooler\.|classifier\.(weight|bias))/;
  const options = { prefix: 'bert.', head, changed };
  const { folder, tensorOf } = bertCheckpoint(name, words.length, options);
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
