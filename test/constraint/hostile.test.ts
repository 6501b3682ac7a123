/** What strangers send: refused, or bounded; never a crash, a dead end, or work without limit. */

import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { PacelineError } from '../../src/base/errors.js';
import { compilingSteps, defaultLimits } from '../../src/constraint/core/budget.js';
import type { ConstraintSpec } from '../../src/constraint/spec.js';
import { schemas } from './schemas.js';
import { compileFor, embedded, randomNumbers, randomText, type Vocabulary } from './support.js';

const many = <Item>(count: number, make: (index: number) => Item): Item[] =>
  Array.from({ length: count }, (_, index) => make(index));
const object = (entries: readonly (readonly [string, unknown])[]) => Object.fromEntries(entries);

function nested(depth: number): unknown {
  let schema: unknown = { type: 'integer' };
  for (let level = 0; level < depth; level++) {
    schema = {
      type: 'object',
      properties: { a: schema },
      required: ['a'],
      additionalProperties: false,
    };
  }
  return schema;
}

/** Schemas that work, within the limits. */
const works: Readonly<Record<string, unknown>> = {
  'nested 190 deep': nested(190),
  'enum of 100,000': { enum: many(100_000, (index) => `value ${index * 7919}`) },
  'maxLength 1e9': { type: 'string', maxLength: 1e9 },
  'anyOf of 5,000 values': { anyOf: many(5000, (index) => ({ const: `c${index}` })) },
  '300 characters after an x': { type: 'string', pattern: '.*x.{300}' },
  '2,000 optional properties': {
    type: 'object',
    properties: object(many(2000, (index) => [`prop${index}`, { type: 'integer' }])),
  },
  '500 required properties': {
    type: 'object',
    properties: object(many(500, (index) => [`prop${index}`, { type: 'integer' }])),
    required: many(500, (index) => `prop${index}`),
    additionalProperties: false,
  },
  'counts in counts': { type: 'string', pattern: '^((a{0,1000}){0,1000}){0,1000}$' },
  'a long pattern': { type: 'string', pattern: 'ab?'.repeat(3000) },
  'pattern and length': {
    type: 'string',
    pattern: '^([a-z]+[.])*[a-z]+$',
    minLength: 200,
    maxLength: 300,
  },
  'a million items': { type: 'array', items: { const: 1 }, minItems: 1e6 },
  'two enums of 50,000': {
    allOf: [0, 25_000].map((from) => ({ enum: many(50_000, (index) => `v${from + index}`) })),
  },
  'a long tuple': {
    type: 'array',
    prefixItems: many(3000, () => ({ type: 'integer' })),
    minItems: 3000,
    items: false,
  },
};

/** Schemas that are refused. */
const refused: Readonly<Record<string, unknown>> = {
  'nested 5,000 deep': nested(5000),
  'deeper than texts may nest': nested(240),
  'anyOf of 5,000 objects': {
    anyOf: many(5000, (index) => ({
      type: 'object',
      properties: { k: { const: index } },
      required: ['k'],
    })),
  },
  'a product of alternatives': {
    allOf: many(20, () => ({ anyOf: many(10, (index) => ({ required: [`k${index}`] })) })),
  },
  'an intersection of periods': {
    type: 'string',
    minLength: 1,
    allOf: [7, 11, 13, 17, 19, 23].map((period) => ({ pattern: `^(?:a{${period}})*$` })),
  },
  'patterns that contradict': { type: 'string', pattern: '^a+$', allOf: [{ pattern: '^b+$' }] },
  'a reference to itself': { $ref: '#' },
  'references in a circle': {
    $defs: { a: { $ref: '#/$defs/b' }, b: { $ref: '#/$defs/a' } },
    $ref: '#/$defs/a',
  },
  'objects without end': { type: 'object', properties: { a: { $ref: '#' } }, required: ['a'] },
  'arrays without end': { type: 'array', items: { $ref: '#' }, minItems: 1 },
  'a pattern of 30,000 characters': { type: 'string', pattern: 'a'.repeat(30_000) },
  'groups nested 1,000 deep': {
    type: 'string',
    pattern: `${'('.repeat(1000)}a${')'.repeat(1000)}`,
  },
  'many patterns of keys': {
    type: 'object',
    patternProperties: object(many(12, (index) => [`^.{${index}}x`, {}])),
  },
  'required and forbidden': { type: 'object', required: ['a'], properties: { a: false } },
  'references that double 40 times': {
    $defs: object(
      many(40, (index) => {
        const before = { $ref: `#/$defs/d${index - 1}` };
        const own = { type: 'object', properties: { x: { type: 'integer' } } };
        return [
          `d${index}`,
          index === 0 ? own : { allOf: [before, { ...before, title: 'again' }] },
        ];
      }),
    ),
    $ref: '#/$defs/d39',
  },
  'alternatives that have to be told apart': {
    oneOf: many(1000, (index) => ({
      anyOf: many(20, (part) => ({ type: 'object', required: [`k${index}_${part}`] })),
    })),
  },
  'values with values inside, twice': {
    allOf: [0, 1500].map((from) => ({ enum: many(3000, (index) => ({ a: from + index })) })),
  },
  'no number between': { type: 'integer', exclusiveMinimum: 1, exclusiveMaximum: 2 },
};

describe('hostile constraints', () => {
  let vocabulary: Vocabulary;
  before(async () => {
    vocabulary = await embedded();
  });

  for (const [name, schema] of Object.entries(works)) {
    test(`${name}: bounded`, () => {
      const compiled = compileFor(vocabulary, { type: 'json-schema', schema });
      const random = randomNumbers(3);
      for (let count = 0; count < 3; count++) randomText(vocabulary, compiled.start(), random, 40);
    });
  }

  for (const [name, schema] of Object.entries(refused)) {
    test(`${name}: refused`, () => {
      assert.throws(
        () => compileFor(vocabulary, { type: 'json-schema', schema }),
        (error) => PacelineError.is(error) && error.code === 'usage' && error.hint !== undefined,
      );
    });
  }

  test('grammars that nest, repeat and branch are bounded or refused', () => {
    const specs: readonly ConstraintSpec[] = [
      { type: 'grammar', grammar: 'root ::= ("a" | root root | "") "b"' },
      { type: 'grammar', grammar: `root ::= ${'('.repeat(1000)}"a"${')'.repeat(1000)}` },
      { type: 'grammar', grammar: `root ::= "a"${'*'.repeat(100)}` },
      {
        type: 'grammar',
        grammar:
          many(3000, (index) => `r${index} ::= "a" r${index + 1} | "b"`).join('\n') +
          '\nr3000 ::= "c"',
      },
      { type: 'grammar', grammar: 'root ::= "x" (root | "y") (root | "y") | "z"' },
      // Which rules may be empty, and how deep they nest, shows one rule later with every look.
      {
        type: 'grammar',
        grammar: `root ::= r0\n${many(20_000, (index) => `r${index} ::= "a"? r${index + 1}?`).join('\n')}\nr20000 ::= "z"`,
      },
      { type: 'choice', choices: [] },
      { type: 'choice', choices: many(20_000, (index) => `choice ${index}`) },
    ];
    for (const spec of specs) {
      try {
        const compiled = compileFor(vocabulary, spec);
        randomText(vocabulary, compiled.start(), randomNumbers(1), 60, 60);
      } catch (error) {
        assert.ok(
          PacelineError.is(error) && (error.code === 'usage' || error.code === 'memory'),
          String(error),
        );
      }
    }
  });

  test('ordinary schemas need less than a sixth of the steps that they may take', () => {
    const limits = { compiling: compilingSteps(0) / 6, question: defaultLimits.question / 6 };
    for (const schema of Object.values(schemas)) {
      const compiled = compileFor(vocabulary, { type: 'json-schema', schema }, { limits });
      randomText(vocabulary, compiled.start(), randomNumbers(1), 60);
    }
  });

  test('many tools of many parameters have room', () => {
    const parameter = {
      type: 'array',
      items: { enum: ['x', 'y'] },
      description: 'Why. '.repeat(20),
    };
    const tools = many(128, (index) => ({
      name: `tool_${index}`,
      parameters: {
        type: 'object',
        properties: object(many(10, (part) => [`parameter_${part}`, parameter])),
        required: ['parameter_0'],
      },
    }));
    const spec: ConstraintSpec = { type: 'tools', tools, format: 'hermes', choice: 'required' };
    const characters = JSON.stringify(spec).length;
    assert.equal(compileFor(vocabulary, spec, { characters }).warnings.length, 0);
  });

  test('steps are counted while compiling, and anew for each question about a text', () => {
    const spec: ConstraintSpec = { type: 'regex', pattern: '[a-z]+(-[a-z]+)*' };
    assert.throws(
      () => compileFor(vocabulary, spec, { limits: { compiling: 20 } }),
      (error) =>
        PacelineError.is(error) && error.code === 'usage' && /20 steps/.test(error.message),
    );
    const constraint = compileFor(vocabulary, spec, { limits: { question: 20 } }).start();
    assert.throws(
      () => constraint.mask(),
      (error) =>
        PacelineError.is(error) && error.code === 'memory' && /may come next/.test(error.message),
    );
    assert.equal(compilingSteps(1e9), 500_000);
  });

  test('a budget that is exhausted while a text is made is the error of memory', () => {
    const schema = { type: 'string', pattern: '.*x.{300}' };
    const compiled = compileFor(
      vocabulary,
      { type: 'json-schema', schema },
      { limits: { expressions: 3000 } },
    );
    assert.throws(
      () => randomText(vocabulary, compiled.start(), randomNumbers(3), 400, 400),
      (error) => PacelineError.is(error) && error.code === 'memory',
    );
  });

  test('random schemas are refused with a usage error, or give valid JSON', () => {
    const random = randomNumbers(17);
    const pick = <Item>(list: readonly Item[]) => list[Math.floor(random() * list.length)] as Item;
    const keywords = [
      'type',
      'enum',
      'const',
      'items',
      'properties',
      'required',
      'anyOf',
      'allOf',
      'oneOf',
      'not',
      'minLength',
      'maxItems',
      'pattern',
      'minimum',
      'multipleOf',
      '$ref',
      'format',
      'if',
      'additionalProperties',
      'prefixItems',
      'minProperties',
    ];
    const value = (depth: number): unknown => {
      if (depth > 3 || random() < 0.3)
        return pick([
          null,
          true,
          false,
          0,
          -1,
          2.5,
          'a',
          'string',
          'object',
          '#',
          '#/properties/a',
          '^a',
          '(',
          1e300,
          '',
          'integer',
        ]);
      if (random() < 0.3) return many(Math.floor(random() * 4), () => value(depth + 1));
      return schema(depth + 1);
    };
    const sensible: Readonly<Record<string, (depth: number) => unknown>> = {
      type: () =>
        pick(['string', 'integer', 'number', 'object', 'array', 'null', ['string', 'null']]),
      enum: () => pick([['a', 1], [null, { a: 1 }], []]),
      required: () => pick([['a'], [], ['a', 'b']]),
      ...{ minLength: () => 2, maxItems: () => 3, minimum: () => 1, multipleOf: () => 0.5 },
      ...{ minProperties: () => 1, pattern: () => '^a+', format: () => 'date', $ref: () => '#' },
      items: (depth) => schema(depth + 1),
      not: (depth) => schema(depth + 1),
      properties: (depth) => ({ a: schema(depth + 1), b: schema(depth + 1) }),
      anyOf: (depth) => [schema(depth + 1), schema(depth + 1)],
      allOf: (depth) => [schema(depth + 1), schema(depth + 1)],
      oneOf: (depth) => [schema(depth + 1), schema(depth + 1)],
    };
    const schema = (depth: number): Record<string, unknown> => {
      const made: Record<string, unknown> = {};
      const most = depth > 3 ? 0 : 1 + random() * 3;
      for (let count = 0; count < most; count++) {
        const keyword = pick([...keywords, 'a']);
        const make = random() < 0.85 ? sensible[keyword] : undefined;
        made[keyword] = make ? make(depth) : value(depth + 1);
      }
      return made;
    };
    let compiledCount = 0;
    for (let count = 0; count < 1000; count++) {
      const given = schema(0);
      try {
        const compiled = compileFor(vocabulary, {
          type: 'json-schema',
          schema: given,
          strict: random() < 0.3,
        });
        compiledCount++;
        if (compiledCount % 10 === 0) {
          const { text, ended } = randomText(vocabulary, compiled.start(), random, 60, 20);
          if (ended) JSON.parse(text);
        }
      } catch (error) {
        if (!PacelineError.is(error)) throw error;
        assert.ok(error.code === 'usage', `${JSON.stringify(given)}: ${(error as Error).stack}`);
      }
    }
    assert.ok(compiledCount > 100);
  });
});
