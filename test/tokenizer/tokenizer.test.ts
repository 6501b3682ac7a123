/** Special tokens, decoding, streaming, hostile and uniform texts, in small vocabularies. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { PacelineError } from '../../src/base/errors.js';
import { textOfBytes } from '../../src/gguf/text.js';
import { StreamingDetokenizer } from '../../src/tokenizer/detokenizer.js';
import { metadataFromRecord } from '../../src/tokenizer/metadata.js';
import { createTokenizer, type Tokenizer } from '../../src/tokenizer/tokenizer.js';
import { wellFormed } from '../../src/tokenizer/unicode.js';
import { randomNumbers, randomText } from './random-text.js';
import { byteLevel, sentencePiece, tokenType } from './support.js';

const { control, user } = tokenType;
const marks = { '<|im_start|>': control, '<|im_end|>': control, '<tool>': user };

describe('special tokens', () => {
  const tokenizer = byteLevel(['h e', 'l l'], marks);
  const texts = (text: string, parseSpecial: boolean) =>
    tokenizer
      .encode(text, { addSpecial: false, parseSpecial })
      .map((id) => tokenizer.tokenText(id));

  test('control tokens count only when asked for, user-defined ones always', () => {
    assert.deepEqual(texts('he<|im_end|>', true), ['he', '<|im_end|>']);
    assert.equal(texts('he<|im_end|>', false).length, 1 + '<|im_end|>'.length);
    assert.deepEqual(texts('<tool>he', false), ['<tool>', 'he']);
  });

  test('the longest wins, wherever it stands', () => {
    const nested = byteLevel([], { '<a>': control, 'x<a>y': control, '<a><a>': control });
    const ids = nested.encode('<a>x<a>y<a><a><a>', { addSpecial: false, parseSpecial: true });
    const names = ids.map((id) => nested.tokenText(id));
    assert.deepEqual(names, ['<a>', 'x<a>y', '<a><a>', '<a>']);
  });

  test('the end of a generation is known by its text, and harmony keeps <|end|>', () => {
    assert.equal(tokenizer.isEndOfGeneration(tokenizer.tokenId('<|im_end|>') ?? -1), true);
    assert.equal(tokenizer.isEndOfGeneration(tokenizer.tokenId('<|im_start|>') ?? -1), false);
    const harmony = byteLevel([], {
      '<|end|>': control,
      '<|return|>': control,
      '<|call|>': control,
    });
    assert.equal(harmony.isEndOfGeneration(harmony.tokenId('<|end|>') ?? -1), false);
    assert.equal(harmony.isEndOfGeneration(harmony.tokenId('<|call|>') ?? -1), true);
  });

  test('BOS and EOS are put around where the file says so', () => {
    const around = byteLevel([], marks, {
      'tokenizer.ggml.bos_token_id': 256,
      'tokenizer.ggml.eos_token_id': 257,
      'tokenizer.ggml.add_bos_token': true,
      'tokenizer.ggml.add_eos_token': true,
    });
    assert.deepEqual(around.encode(''), [256, 257]);
    assert.deepEqual(around.encode('', { addSpecial: false }), []);
    assert.equal(around.decode(around.encode('hello')), 'hello');
  });
});

describe('decoding', () => {
  test('SentencePiece: the space before a text is dropped, others stay', () => {
    const tokenizer = sentencePiece(['▁h', '▁', 'h', '▁hi', 'i']);
    for (const text of ['hi', ' hi', '  hi ', '', 'h\ni', 'ü', '</s>', 'hi hi']) {
      assert.equal(tokenizer.decode(tokenizer.encode(text)), text);
    }
    const ids = tokenizer.encode('hi</s>hi', { parseSpecial: true });
    assert.equal(tokenizer.decode(ids, { unparseSpecial: true }), '<s>hi</s>hi'.slice(3));
    assert.equal(tokenizer.decode(ids), 'hihi');
  });

  test('invalid bytes become U+FFFD, and a byte order mark stays', () => {
    const tokenizer = byteLevel([], {});
    assert.equal(tokenizer.decode([0xe4, 0xbd]), '\ufffd');
    assert.equal(tokenizer.decode(tokenizer.encode('\ufeffa')), '\ufeffa');
  });

  test('an id outside the vocabulary is refused', () => {
    for (const id of [-1, 256, 1.5, Number.NaN]) {
      assert.throws(
        () => byteLevel([], {}).decode([id]),
        (error) => PacelineError.is(error) && error.code === 'usage',
      );
    }
  });
});

describe('raw prompts', () => {
  const pieces = ['▁a', '▁', 'a', 'b'];
  const both = { 'tokenizer.ggml.add_eos_token': true };
  test('BOS and EOS that the text has are not added again, and a warning says so', () => {
    const tokenizer = sentencePiece(pieces, both);
    const expected = tokenizer.encode('a');
    assert.deepEqual([expected[0], expected.at(-1)], [1, 2]);
    for (const [text, count] of [
      ['a', 0],
      ['<s>a', 1],
      ['a</s>', 1],
      ['<s>a</s>', 2],
    ] as const) {
      const { tokens, warnings } = tokenizer.encodePrompt(text);
      assert.deepEqual(tokens, expected, text);
      assert.equal(warnings.length, count, text);
    }
    assert.match(tokenizer.encodePrompt('<s>a').warnings[0] ?? '', /begins with <s>.*once/);
    assert.deepEqual(tokenizer.encodePrompt('').tokens, [1, 2]);
    assert.deepEqual(tokenizer.encodePrompt('<s><s>a').tokens, [1, ...expected]);
  });

  test('a model without BOS gets none', () => {
    const tokenizer = sentencePiece(pieces, { 'tokenizer.ggml.add_bos_token': false });
    assert.deepEqual(tokenizer.encodePrompt('a'), { tokens: tokenizer.encode('a'), warnings: [] });
    assert.equal(tokenizer.encodePrompt('<s>a').tokens[0], 1);
    assert.deepEqual(tokenizer.encodePrompt('<s>a').warnings, []);
  });
});

describe('tokens whose bytes are not UTF-8', () => {
  test('come back as their bytes, and complete each other', () => {
    const tokenizer = sentencePiece(['▁', 'a', textOfBytes(Buffer.from([0xc3])), '\udca9▁']);
    const first = tokenizer.vocabSize - 2;
    assert.deepEqual([...tokenizer.tokenBytes(first)], [0xc3]);
    assert.deepEqual([...tokenizer.tokenBytes(first + 1)], [0xa9, 0x20]);
    assert.equal(tokenizer.decode([first, first + 1]), 'é ');
    assert.equal(tokenizer.decode(tokenizer.encode('\udca9 a')), '\ufffd a');
  });
});

describe('streaming', () => {
  test('what continues a text keeps its first space', () => {
    const tokenizer = sentencePiece(['▁the', '▁a', '▁b']);
    const the = tokenizer.tokenId('▁the') as number;
    assert.equal(stream(tokenizer, [the, the], tokenizer.encode('a b')).join(''), ' the the');
    assert.equal(stream(tokenizer, [the, the], [1]).join(''), 'the the');
    assert.equal(stream(tokenizer, [the, the], []).join(''), 'the the');
  });

  const stream = (tokenizer: Tokenizer, ids: readonly number[], preceding: readonly number[]) => {
    const detokenizer = new StreamingDetokenizer(tokenizer, preceding);
    const parts = ids.map((id) => detokenizer.push(id));
    return [...parts, detokenizer.flush()];
  };

  test('never half a character; the rest comes at the end', () => {
    const tokenizer = byteLevel([], {});
    const ids = tokenizer.encode('a🦙é', { addSpecial: false });
    assert.deepEqual(stream(tokenizer, ids, []), ['a', '', '', '', '🦙', '', 'é', '']);
    assert.deepEqual(stream(tokenizer, ids.slice(0, 3), []), ['a', '', '', '\ufffd']);
  });

  test('a character that the preceding tokens began is completed', () => {
    const tokenizer = byteLevel([], {});
    const ids = tokenizer.encode('x🦙', { addSpecial: false });
    assert.equal(stream(tokenizer, ids.slice(3), ids.slice(0, 3)).join(''), '🦙');
  });

  test('all parts together are what decoding at once gives', () => {
    const random = randomNumbers(5);
    for (const tokenizer of [byteLevel(['Ġ h', 'h e'], marks), sentencePiece(['▁h', '▁', 'he'])]) {
      for (let count = 0; count < 300; count++) {
        const text = randomText(random, 12, Object.keys(marks));
        const ids = tokenizer.encode(text, { parseSpecial: count % 2 === 0 });
        const cut = Math.floor(random() * (ids.length + 1));
        const before = new StreamingDetokenizer(tokenizer);
        let whole = '';
        for (const id of ids.slice(0, cut)) whole += before.push(id);
        const rest = stream(tokenizer, ids.slice(cut), ids.slice(0, cut)).join('');
        assert.equal(whole + rest, tokenizer.decode(ids));
        for (const part of stream(tokenizer, ids, [])) assert.equal(wellFormed(part), part);
      }
    }
  });
});

describe('any text comes back', () => {
  for (const [name, tokenizer] of [
    ['byte level', byteLevel(['Ġ h', 'h e', 'Ġh e'], {})],
    ['SentencePiece', sentencePiece(['▁h', '▁', 'h', 'e', 'he', '▁he', '▁▁'])],
  ] as const) {
    test(name, () => {
      const random = randomNumbers(11);
      for (let count = 0; count < 500; count++) {
        // U+2581 is the space of SentencePiece: the one character that cannot come back.
        const text = randomText(random, 20, []).replaceAll('▁', '');
        assert.equal(tokenizer.decode(tokenizer.encode(text)), wellFormed(text));
      }
    });

    test(`${name}: a megabyte of one character`, () => {
      for (const unit of ['h', ' ', '\n', 'he', '🦙', '的']) {
        const text = unit.repeat(1_000_000 / unit.length);
        const ids = tokenizer.encode(text);
        assert.equal(tokenizer.decode(ids) === text, true);
      }
    });
  }
});

test('uniform texts take linear time with any kind of rules', () => {
  for (const pre of ['deepseek-llm', 'superbpe', 'gpt-4o', 'exaone-moe', 'default', 'bailingmoe']) {
    const tokenizer = byteLevel(['a a', 'aa aa'], {}, { 'tokenizer.ggml.pre': pre });
    for (const unit of ['a', 'A', ' ', '1', '!', '的', ' \n', 'a ']) {
      // A quadratic rule would take hours.
      const text = `${unit.repeat(200_000 / unit.length)}x`;
      assert.equal(tokenizer.decode(tokenizer.encode(text)) === text, true, pre + unit);
    }
  }
});

describe('what cannot be read is refused by name', () => {
  const refuse = (record: Record<string, unknown>, code: string, part: RegExp) =>
    assert.throws(
      () =>
        createTokenizer(
          metadataFromRecord({
            'tokenizer.ggml.model': 'gpt2',
            'tokenizer.ggml.tokens': ['a'],
            'tokenizer.ggml.merges': [],
            ...record,
          } as Parameters<typeof metadataFromRecord>[0]),
        ),
      (error) => {
        assert.ok(PacelineError.is(error));
        assert.equal(error.code, code);
        assert.match(`${error.message} ${error.hint}`, part);
        return true;
      },
    );

  test('models and pre-tokenizers', () => {
    refuse(
      { 'tokenizer.ggml.model': 'rwkv' },
      'unsupported-tokenizer',
      /'rwkv'.*llama, gpt2, gemma4, bert, t5/,
    );
    refuse({ 'tokenizer.ggml.pre': 'mine' }, 'unsupported-tokenizer', /'mine'.*qwen2/);
  });

  test('missing and wrong metadata', () => {
    refuse({ 'tokenizer.ggml.model': undefined }, 'broken-file', /tokenizer.ggml.model/);
    refuse({ 'tokenizer.ggml.tokens': undefined }, 'broken-file', /tokenizer.ggml.tokens/);
    refuse({ 'tokenizer.ggml.tokens': [] }, 'broken-file', /empty/);
    refuse({ 'tokenizer.ggml.tokens': 'a' }, 'broken-file', /array of strings/);
    refuse({ 'tokenizer.ggml.merges': undefined }, 'broken-file', /merges/);
    refuse({ 'tokenizer.ggml.token_type': [] }, 'broken-file', /token_type/);
    refuse({ 'tokenizer.ggml.scores': new Float32Array(0) }, 'broken-file', /scores/);
    refuse({ 'tokenizer.ggml.add_bos_token': true }, 'broken-file', /bos_token_id/);
    refuse(
      { 'tokenizer.ggml.model': 'llama', 'tokenizer.ggml.tokens': ['a'] },
      'broken-file',
      /bos/,
    );
  });

  test('random metadata is read or refused, never worse', () => {
    const random = randomNumbers(17);
    const pick = <T>(items: readonly T[]) => items[Math.floor(random() * items.length)] as T;
    for (let count = 0; count < 2000; count++) {
      const tokens = Array.from({ length: Math.floor(random() * 40) }, () =>
        randomText(random, 2, ['', '<0x41>', 'ab', 'a', 'b']),
      );
      const merges = tokens.flatMap((token) => [`${pick(tokens)} ${token}`, pick(tokens), ' ', '']);
      const record = {
        'tokenizer.ggml.model': pick(['gpt2', 'llama', 'gemma4', 'bert', 't5']),
        'tokenizer.ggml.pre': pick(['gpt-2', 'qwen2', 'llama3', 'default', 'deepseek-v3', 'x']),
        'tokenizer.ggml.tokens': tokens,
        'tokenizer.ggml.merges': merges,
        'tokenizer.ggml.scores': tokens.map(() => pick([0, -1, 5, Number.NaN, 1e30])),
        'tokenizer.ggml.token_type': tokens.map(() => Math.floor(random() * 9) - 1),
        'tokenizer.ggml.bos_token_id': pick([0, 1, 2 ** 32 - 1, -1, 0.5]),
        'tokenizer.ggml.eos_token_id': pick([0, 1, 2]),
        'tokenizer.ggml.unknown_token_id': pick([undefined, 0, 3]),
        'tokenizer.ggml.seperator_token_id': pick([undefined, 0, 2]),
        'tokenizer.ggml.remove_extra_whitespaces': random() < 0.5,
        'tokenizer.ggml.precompiled_charsmap': pick([
          undefined,
          Array.from({ length: Math.floor(random() * 40) }, () => Math.floor(random() * 256)),
          [4, 0, 0, 0, 0, 1, 0, 0, 0x61, 0],
        ]),
      };
      try {
        const tokenizer = createTokenizer(metadataFromRecord(record));
        const ids = tokenizer.encode(randomText(random, 10, tokens), { parseSpecial: true });
        tokenizer.decode(ids);
        tokenizer.decode(ids, { compatible: true, unparseSpecial: true });
      } catch (error) {
        assert.ok(PacelineError.is(error), String(error));
      }
    }
  });
});
