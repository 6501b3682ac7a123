/** WordPiece and unigram vocabularies: small cases by hand, and files that lie. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { PacelineError } from '../../src/base/errors.js';
import { CharacterMap } from '../../src/tokenizer/character-map.js';
import { type MetadataRecord, metadataFromRecord } from '../../src/tokenizer/metadata.js';
import { createTokenizer } from '../../src/tokenizer/tokenizer.js';
import { words } from '../../src/tokenizer/wordpiece.js';
import { randomNumbers, randomText } from './random-text.js';
import { characterMap } from './random-vocabulary.js';

function wordPiece(pieces: readonly string[], changes: MetadataRecord = {}) {
  const tokens = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', ...pieces];
  return createTokenizer(
    metadataFromRecord({
      'tokenizer.ggml.model': 'bert',
      'tokenizer.ggml.tokens': tokens,
      'tokenizer.ggml.token_type': tokens.map((_, id) => (id === 1 ? 2 : id < 4 ? 3 : 1)),
      'tokenizer.ggml.unknown_token_id': 1,
      'tokenizer.ggml.bos_token_id': 2,
      'tokenizer.ggml.seperator_token_id': 3,
      ...changes,
    }),
  );
}

function unigram(pieces: Readonly<Record<string, number>>, changes: MetadataRecord = {}) {
  const tokens = ['<pad>', '</s>', '<unk>', ...Object.keys(pieces)];
  return createTokenizer(
    metadataFromRecord({
      'tokenizer.ggml.model': 't5',
      'tokenizer.ggml.tokens': tokens,
      'tokenizer.ggml.token_type': tokens.map((_, id) => (id === 2 ? 2 : id < 2 ? 3 : 1)),
      'tokenizer.ggml.scores': [0, 0, 0, ...Object.values(pieces)],
      'tokenizer.ggml.add_space_prefix': true,
      ...changes,
    }),
  );
}

const named = (tokenizer: ReturnType<typeof wordPiece>, text: string) =>
  tokenizer.encode(text).map((id) => tokenizer.tokenText(id));

const refused = (code: string, pattern: RegExp) => (error: unknown) => {
  assert.ok(PacelineError.is(error), String(error));
  assert.equal(error.code, code);
  assert.match(error.message, pattern);
  return true;
};

describe('WordPiece', () => {
  const tokenizer = wordPiece(['▁un', '▁', 'want', 'wanted', 'ed', '▁runn', 'ing', '▁!']);

  test('the longest tokens from left to right; a word with a gap is unknown', () => {
    assert.deepEqual(named(tokenizer, 'UNwanted running !'), [
      ...['[CLS]', '▁un', 'wanted', '▁runn', 'ing', '▁!', '[SEP]'],
    ]);
    assert.deepEqual(named(tokenizer, 'unwantedx running'), [
      ...['[CLS]', '[UNK]', '▁runn', 'ing', '[SEP]'],
    ]);
  });

  test('words as BERT cuts them', () => {
    const rules = { lowercase: true, stripAccents: true };
    assert.deepEqual(words(' Café\u0301,\u00ad\0ÀB\u3000中文x\t$5', rules), [
      ...['cafe', ',', 'ab', '中', '文', 'x', '$', '5'],
    ]);
    const cased = { lowercase: false, stripAccents: false };
    assert.deepEqual(words('Café İ', cased), ['Café', 'İ']);
  });

  test('a vocabulary without the ends of a text is refused', () => {
    const changes = { 'tokenizer.ggml.seperator_token_id': undefined };
    assert.throws(() => wordPiece(['a'], changes), refused('broken-file', /beginning and the end/));
  });

  test('long words and long tokens take no time to speak of', () => {
    const long = 'a'.repeat(200_000);
    const big = wordPiece(['▁', 'a', `▁${long}b`]);
    assert.equal(big.encode(long).length, long.length + 3);
  });
});

describe('unigram models', () => {
  test('the best sum of scores wins, not the longest token', () => {
    const tokenizer = unigram({ '▁': -5, ab: -3, abc: -9, c: -2, d: -1, '▁ab': -4 });
    assert.deepEqual(named(tokenizer, 'abc'), ['▁ab', 'c', '</s>']);
    assert.deepEqual(named(tokenizer, 'ab cxxd'), ['▁ab', '▁', 'c', '<unk>', 'd', '</s>']);
    assert.deepEqual(named(tokenizer, ''), ['</s>']);
  });

  test('a token of thousands of characters is refused', () => {
    const text = 'x'.repeat(513);
    assert.throws(() => unigram({ [text]: -1 }), refused('unsupported-tokenizer', /513|too long/));
  });

  test('long texts take no time to speak of', () => {
    const tokenizer = unigram({ '▁': -5, a: -1, aa: -1.5, aaaa: -2, ['a'.repeat(100)]: -9 });
    assert.ok(tokenizer.encode('a'.repeat(100_000)).length < 10_000);
  });
});

describe('maps of characters', () => {
  const good = Uint8Array.from(
    (characterMap({ é: 'e', ab: 'x', abc: 'y', '🦙': 'llama' }) as { value: Uint8Array }).value,
  );

  test('the longest match is replaced', () => {
    assert.equal(new CharacterMap(good).apply('éabcab🦙a🐙'), 'eyxllamaa🐙');
  });

  test('parts that do not fit are refused', () => {
    for (const bytes of [[], [1, 0], [8, 0, 0, 0, 1, 2, 3], [255, 255, 255, 255, 0, 0]]) {
      assert.throws(
        () => new CharacterMap(Uint8Array.from(bytes)),
        refused('broken-file', /precompiled_charsmap.*size/),
      );
    }
  });

  test('any damage is an error or another text, never more', () => {
    const random = randomNumbers(11);
    let errors = 0;
    for (let count = 0; count < 2000; count++) {
      const bytes = good.slice(0, count % 3 === 0 ? Math.floor(random() * good.length) : undefined);
      for (let times = 1 + Math.floor(random() * 40); times > 0; times--) {
        const near = random() < 0.5 ? 0x500 : bytes.length;
        bytes[Math.floor(random() * Math.min(near, bytes.length))] = Math.floor(random() * 256);
      }
      try {
        const map = new CharacterMap(bytes);
        for (const text of ['éabc🦙', randomText(random, 10, ['ab', 'abc', 'é'])]) map.apply(text);
      } catch (error) {
        assert.ok(PacelineError.is(error) && error.code === 'broken-file', String(error));
        errors++;
      }
    }
    assert.ok(errors > 100 && errors < 2000, `${errors} errors`);
  });
});
