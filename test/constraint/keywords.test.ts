/** One case a keyword: enforced exactly on examples, or refused with a pointer; never ignored. */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { PacelineError } from '../../src/base/errors.js';
import type { Json } from '../../src/constraint/schema/json.js';
import { enforcedKeywords } from '../../src/constraint/schema/keywords.js';
import { judge } from './random-against-ajv.js';
import { accepts, compileFor, synthetic, type Vocabulary } from './support.js';

/** Values that many keywords tell apart. */
const samples: readonly Json[] = [
  ...[null, true, false, 0, 1, -1, 2, 7, 7.5, 0.25, 1e3, -3.75, 4294967296],
  ...[
    '',
    'a',
    'ab',
    'abc',
    'abcd',
    'x1',
    'zqjv',
    'é',
    '😀😀',
    '2024-02-29',
    '2023-02-29',
    'a@b.co',
    '::1',
  ],
  ...[[], [1], [1, 'a'], ['a'], [1, 2, 3], [[1]], [true, null]],
  ...[
    {},
    { a: 1 },
    { a: 'x' },
    { b: 1 },
    { a: 1, b: 2 },
    { b: 2, a: 1 },
    { x1: 1 },
    { zqjv: 1, wy: 2 },
  ],
  ...[{ a: { a: 1 } }, { a: null, b: null, c: null }, { 'a"b': 1 }],
];

const exact: Readonly<Record<string, readonly Json[]>> = {
  type: [{ type: 'integer' }, { type: ['string', 'null'] }, { type: 'number' }, { type: 'array' }],
  enum: [{ enum: [1, 'a', null, [1], { a: 1 }] }, { enum: ['a', 1], type: 'string' }],
  const: [{ const: 'zqjv' }, { const: { a: { a: 1 } } }, { const: null, type: 'null' }],
  minimum: [{ minimum: 1 }, { minimum: -3.75 }, { type: 'integer', minimum: 0.5 }],
  maximum: [{ maximum: 7 }, { maximum: -1 }, { type: 'integer', maximum: 6.5 }],
  exclusiveMinimum: [{ exclusiveMinimum: 1 }, { type: 'integer', exclusiveMinimum: -1 }],
  exclusiveMaximum: [{ exclusiveMaximum: 7.5 }, { type: 'integer', exclusiveMaximum: 7 }],
  multipleOf: [{ type: 'integer', multipleOf: 7 }, { multipleOf: 0.25 }, { multipleOf: 2.5 }],
  minLength: [{ minLength: 2 }],
  maxLength: [{ maxLength: 2 }],
  pattern: [{ pattern: '^[a-z]+$' }, { pattern: 'b' }, { pattern: '^.{2}$' }],
  format: [{ format: 'date' }, { format: 'email' }, { format: 'ipv6' }],
  items: [{ items: { type: 'integer' } }, { items: false }],
  prefixItems: [
    { prefixItems: [{ type: 'integer' }, { type: 'string' }] },
    { prefixItems: [{ const: 1 }], items: false },
  ],
  minItems: [{ minItems: 2 }],
  maxItems: [{ maxItems: 1 }],
  uniqueItems: [{ uniqueItems: false }, { uniqueItems: true, maxItems: 1 }],
  minContains: [{ contains: { type: 'integer' }, minContains: 0 }],
  properties: [{ properties: { a: { type: 'integer' } } }, { properties: { a: false } }],
  required: [
    { required: ['a', 'b'] },
    {
      type: 'object',
      required: ['zqjv'],
      properties: { zqjv: {}, wy: {} },
      additionalProperties: false,
    },
  ],
  additionalProperties: [
    { properties: { a: {} }, additionalProperties: false },
    { additionalProperties: { type: 'integer' } },
  ],
  patternProperties: [{ patternProperties: { '^[ab]$': { type: 'integer' } } }],
  propertyNames: [{ propertyNames: { maxLength: 1 } }, { propertyNames: { enum: ['a', 'b'] } }],
  minProperties: [
    { minProperties: 1 },
    { properties: { a: {}, b: {} }, minProperties: 2, additionalProperties: false },
  ],
  maxProperties: [{ maxProperties: 1 }],
  unevaluatedProperties: [
    { properties: { a: {} }, unevaluatedProperties: false },
    { allOf: [{ properties: { a: {} } }], unevaluatedProperties: { type: 'integer' } },
  ],
  allOf: [{ allOf: [{ minimum: 1 }, { type: 'number', maximum: 7 }] }],
  anyOf: [{ anyOf: [{ type: 'integer' }, { maxLength: 2, type: 'string' }] }],
  oneOf: [
    { oneOf: [{ type: 'integer' }, { type: 'string' }] },
    { oneOf: [{ minimum: 2 }, { type: 'string' }, { type: 'number', maximum: 1 }] },
  ],
  not: [
    { not: { type: 'string' } },
    { not: { required: ['a'] } },
    { type: 'string', not: { enum: ['a', 'ab'] } },
    { not: { minLength: 2 } },
  ],
  // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON schema
  if: [{ type: 'object', if: { required: ['a'] }, then: { required: ['b'] } }],
  // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON schema
  else: [{ if: { type: 'number' }, then: { minimum: 1 }, else: { type: 'string' } }],
  dependentRequired: [{ dependentRequired: { a: ['b'] } }],
  dependentSchemas: [
    { dependentSchemas: { a: { properties: { b: { type: 'integer' } }, required: ['b'] } } },
  ],
  $ref: [
    { $defs: { n: { minimum: 2 } }, $ref: '#/$defs/n' },
    {
      $defs: { n: { $anchor: 'n', type: 'object', additionalProperties: { $ref: '#n' } } },
      $ref: '#n',
    },
  ],
};

/** Keywords of older drafts and of OpenAPI, with what they mean. */
const older: readonly (readonly [Json, readonly Json[], readonly Json[]])[] = [
  [{ type: 'number', minimum: 1, exclusiveMinimum: true }, [2], [1]],
  [{ type: 'number', maximum: 1, exclusiveMaximum: true }, [0.5], [1]],
  [{ items: [{ const: 1 }], additionalItems: false }, [[1], []], [[1, 2]]],
  [{ dependencies: { a: ['b'] } }, [{ a: 1, b: 2 }, { b: 1 }], [{ a: 1 }]],
  [{ type: 'string', nullable: true }, ['a', null], [1]],
  [{ definitions: { x: { type: 'null' } }, $ref: '#/definitions/x' }, [null], [1]],
  [{ type: 'integer', format: 'int32' }, [2147483647], [2147483648]],
];

const refused: Readonly<Record<string, readonly [Json, string]>> = {
  uniqueItems: [{ type: 'array', uniqueItems: true }, '/uniqueItems'],
  contains: [{ contains: { type: 'integer' } }, '/contains'],
  maxContains: [{ contains: {}, minContains: 0, maxContains: 1 }, '/maxContains'],
  not: [{ not: { pattern: 'a' } }, '/not'],
  // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON schema
  if: [{ if: { multipleOf: 2 }, then: {}, properties: {} }, '/if'],
  oneOf: [
    { properties: { 'a/b': { oneOf: [{ multipleOf: 2 }, { multipleOf: 3 }] } } },
    '/properties/a~1b/oneOf',
  ],
  unevaluatedItems: [{ unevaluatedItems: false }, '/unevaluatedItems'],
  unevaluatedProperties: [
    { anyOf: [{ properties: { a: {} } }, {}], unevaluatedProperties: false },
    '/unevaluatedProperties',
  ],
  minProperties: [{ minProperties: 2 }, '/minProperties'],
  format: [{ format: 'regex' }, '/format'],
  pattern: [{ items: { pattern: '(?=a)b' } }, '/items/pattern'],
  multipleOf: [{ multipleOf: 123456789 }, '/multipleOf'],
  $dynamicRef: [{ $dynamicRef: '#x' }, '/$dynamicRef'],
  maxLenght: [{ maxLenght: 3 }, '/maxLenght'],
};

describe('every keyword is enforced exactly, or refused', () => {
  let vocabulary: Vocabulary;
  before(async () => {
    vocabulary = await synthetic();
  });

  for (const [keyword, list] of Object.entries(exact)) {
    test(`${keyword}: exact`, () => {
      for (const schema of list) {
        const valid = judge(schema);
        const compiled = compileFor(vocabulary, { type: 'json-schema', schema });
        for (const value of samples) {
          const text = JSON.stringify(value);
          assert.equal(
            accepts(compiled, vocabulary, text),
            valid(value),
            `${JSON.stringify(schema)} on ${text}`,
          );
        }
      }
    });
  }

  test('keywords of older drafts', () => {
    for (const [schema, good, bad] of older) {
      const compiled = compileFor(vocabulary, { type: 'json-schema', schema });
      for (const value of good)
        assert.ok(
          accepts(compiled, vocabulary, JSON.stringify(value)),
          JSON.stringify([schema, value]),
        );
      for (const value of bad)
        assert.ok(
          !accepts(compiled, vocabulary, JSON.stringify(value)),
          JSON.stringify([schema, value]),
        );
    }
  });

  for (const [keyword, [schema, pointer]] of Object.entries(refused)) {
    test(`${keyword}: refused when strict, else a warning`, () => {
      assert.throws(
        () => compileFor(vocabulary, { type: 'json-schema', schema }),
        (error) =>
          PacelineError.is(error) &&
          error.code === 'usage' &&
          error.details.pointer === pointer &&
          error.details.keyword === keyword,
      );
      const { warnings } = compileFor(vocabulary, { type: 'json-schema', schema, strict: false });
      assert.deepEqual(
        warnings.map((warning) => [warning.pointer, warning.keyword]),
        [[pointer, keyword]],
      );
    });
  }

  test('a relaxed keyword leaves the others in force', () => {
    const schema = { type: 'string', pattern: '\\bx', maxLength: 3, minLength: 2 };
    const compiled = compileFor(vocabulary, { type: 'json-schema', schema, strict: false });
    assert.ok(accepts(compiled, vocabulary, '"abc"'));
    assert.ok(!accepts(compiled, vocabulary, '"abcd"'));
  });

  test('each keyword that is said to be enforced has a case', () => {
    const tested = new Set([...Object.keys(exact), ...Object.keys(refused)]);
    for (const schema of older) for (const key of Object.keys(schema[0] as object)) tested.add(key);
    tested.add('then');
    assert.deepEqual(
      [...enforcedKeywords].filter((keyword) => !tested.has(keyword)),
      [],
    );
  });

  test('faults of a schema are told by pointer', () => {
    const faults: readonly (readonly [Json, string])[] = [
      [{ type: 'strnig' }, '/type'],
      [{ properties: { a: { minLength: -1 } } }, '/properties/a/minLength'],
      [{ $ref: '#/$defs/none' }, '/$ref'],
      [{ $ref: 'https://example.com/other' }, '/$ref'],
      [{ anyOf: [] }, '/anyOf'],
      [{ properties: { a: 3 } }, '/properties/a'],
      [{ required: 'a' }, '/required'],
      [3, ''],
      [false, ''],
    ];
    for (const [schema, pointer] of faults) {
      assert.throws(
        () => compileFor(vocabulary, { type: 'json-schema', schema }),
        (error) =>
          PacelineError.is(error) && error.code === 'usage' && error.details.pointer === pointer,
        JSON.stringify(schema),
      );
    }
  });
});
