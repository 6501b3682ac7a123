/** Patterns against JavaScript's own engine (for these patterns only), on all short texts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PacelineError } from '../../src/base/errors.js';
import { accepts, compileFor, synthetic } from './support.js';

const patterns = [
  ...[
    'a',
    'ab|c',
    '^a',
    'b$',
    '^$',
    '^a|b$',
    '(^a|b)c',
    'a(b|c$)',
    '(?:^a)?b',
    'a*',
    'a+b?',
    'a{2}',
    'a{1,2}c',
  ],
  ...[
    '^(ab)*$',
    '^(a|b)*c$',
    '[ab]c',
    '[^ab]',
    '.',
    '^.$',
    '\\d',
    '^\\w+$',
    '\\s',
    '^[a-c]{2,}$',
    '(a*)*b',
    'a||b',
  ],
  ...[
    '^(?:a|ab)(?:c|bc)$',
    '(?<name>a)b',
    'a*?b',
    '^(^a|b)+$',
    '(a$|b)+',
    '[]a',
    '[^]',
    '\\x61',
    '\\u0062',
    '[\\dc-]',
  ],
  ...[
    '^ä$',
    '\\u{1F600}',
    '[ä-ü]',
    '\\p{L}',
    '^\\P{L}+$',
    '^[\\s\\S]$',
    'c{0}',
    '^(a|b){2,3}$',
    '(?:a(?:b(?:c)?)?)?$',
  ],
];

const letters = ['a', 'b', 'c', 'ä', '1', '\n', '"', '😀'];

function* texts(length: number): Generator<string> {
  yield '';
  if (length === 0) return;
  for (const first of letters) for (const rest of texts(length - 1)) yield first + rest;
}

test('patterns match what ECMA-262 says, anywhere in a JSON string', async () => {
  const vocabulary = await synthetic();
  const all = [...new Set(texts(3))];
  for (const pattern of patterns) {
    const expected = new RegExp(pattern, 'u');
    const schema = { type: 'string', pattern };
    let compiled: ReturnType<typeof compileFor>;
    try {
      compiled = compileFor(vocabulary, { type: 'json-schema', schema });
    } catch (error) {
      assert.ok(PacelineError.is(error));
      assert.ok(!all.some((text) => expected.test(text)), `${pattern}: ${error.message}`);
      continue;
    }
    for (const text of all) {
      assert.equal(
        accepts(compiled, vocabulary, JSON.stringify(text)),
        expected.test(text),
        `${pattern} on ${JSON.stringify(text)}`,
      );
    }
  }
});

test('a regex constraint is the whole text', async () => {
  const vocabulary = await synthetic();
  const compiled = compileFor(vocabulary, { type: 'regex', pattern: 'a|^b$|c"' });
  for (const text of ['a', 'b', 'c"']) assert.ok(accepts(compiled, vocabulary, text));
  for (const text of ['', 'ab', 'xa', 'c\\"']) assert.ok(!accepts(compiled, vocabulary, text));
});

test('what is not regular or not supported is refused by position', async () => {
  const vocabulary = await synthetic();
  const refused: Readonly<Record<string, number>> = {
    ...{
      'a(?=b)': 1,
      'a(?!b)': 1,
      'ab(?<=b)': 2,
      'a(?<!b)c': 1,
      '(a)\\1': 3,
      '(?<x>a)\\k<x>': 7,
      'a\\b': 1,
      '\\B': 0,
    },
    ...{
      '(a': 0,
      'a)': 1,
      '[a': 0,
      'a**': 2,
      '*a': 0,
      'a{2,1}': 6,
      'a{x}': 1,
      '\\p{Greek}': 0,
      '\\u{110000}': 0,
      '\\': 0,
    },
    ...{ '[b-a]': 2, '(?i:a)': 0, '\\q': 0 },
  };
  for (const [pattern, position] of Object.entries(refused)) {
    assert.throws(
      () => compileFor(vocabulary, { type: 'regex', pattern }),
      (error) =>
        PacelineError.is(error) && error.code === 'usage' && error.details.position === position,
      pattern,
    );
  }
});
