/** Descriptions of constraints from callers without types. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { PacelineError } from '../../src/base/errors.js';
import { checkSpec } from '../../src/constraint/check-spec.js';

const cyclic: Record<string, unknown> = { type: 'object' };
cyclic.properties = { itself: cyclic };
let deep: unknown = { type: 'integer' };
for (let level = 0; level < 50_000; level++) deep = { items: deep };

describe('a description of a constraint', () => {
  for (const [what, given, pattern] of [
    ['nothing', undefined, /Option constraint .*json-schema/],
    ['an array', [], /Option constraint /],
    ['an unknown type', { type: 'yaml' }, /Option constraint /],
    ['no pattern', { type: 'regex' }, /Option pattern .*not undefined/],
    ['a pattern that is a number', { type: 'regex', pattern: 5 }, /Option pattern .*not 5/],
    ['no grammar', { type: 'grammar' }, /Option grammar /],
    ['no choices', { type: 'choice' }, /Option choices /],
    ['choices that are no texts', { type: 'choice', choices: [null] }, /Option choices /],
    ['no format of tool calls', { type: 'tools', tools: [] }, /Option format .*hermes/],
    ['tools that are none', { type: 'tools', format: 'hermes', tools: [5] }, /Option tools /],
    ['a wrong choice', { type: 'tools', format: 'hermes', tools: [], choice: 'x' }, /auto, none/],
    [
      'a wrong answer beside tools',
      { type: 'tools', format: 'hermes', tools: [], answer: { type: 'regex', pattern: 5 } },
      /Option pattern .*not 5/,
    ],
    ['no schema', { type: 'json-schema' }, /Option schema /],
    ['a mistyped field', { type: 'regex', pattern: 'a', patern: 'b' }, /patern.*pattern/],
    ['a schema that contains itself', { type: 'json-schema', schema: cyclic }, /no JSON.*circular/],
    ['a BigInt', { type: 'json-schema', schema: { const: 1n } }, /no JSON.*BigInt/],
    ['a schema that nests without end', { type: 'json-schema', schema: deep }, /nests too deep/],
  ] as const) {
    it(`refuses ${what}`, () => {
      assert.throws(
        () => checkSpec(given),
        (error) => {
          assert.ok(PacelineError.is(error), String(error));
          assert.equal(error.code, 'usage');
          assert.ok((error.hint ?? '').length > 10);
          assert.match(`${error.message} ${error.hint}`, pattern);
          return true;
        },
      );
    });
  }

  it('is copied, so that later changes by its owner do not matter', () => {
    const schema = { enum: ['a'] };
    const { spec } = checkSpec({ type: 'json-schema', schema });
    schema.enum.push('b');
    assert.deepEqual(spec, { type: 'json-schema', schema: { enum: ['a'] } });
  });
});
