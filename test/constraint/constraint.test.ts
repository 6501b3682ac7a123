/** The interface: forks, forced and likely tokens, white space, sections, and documents as they come. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PacelineError } from '../../src/base/errors.js';
import type { ConstraintSpec } from '../../src/constraint/spec.js';
import { buildIndex } from '../../src/constraint/tokens/vocabulary-index.js';
import { judge } from './random-against-ajv.js';
import { schemas } from './schemas.js';
import {
  accepts,
  allowedTokens,
  compileFor,
  embedded,
  randomNumbers,
  randomText,
  synthetic,
  textOf,
} from './support.js';

const person: ConstraintSpec = { type: 'json-schema', schema: schemas.flat };

test('valid documents are accepted as a tokenizer cuts them, compact and indented', async () => {
  const { tokenizer, index } = await embedded();
  const documents: readonly (readonly [string, unknown])[] = [
    ['flat', { age: 3, name: 'Ann "B" \\ \n é 日本 😀', tall: true }],
    ['nested', { home: { street: 'a', zip: '12345' }, tags: ['x', 'y'] }],
    [
      'recursive',
      {
        value: 1,
        children: [
          { value: 2, children: [] },
          { children: [], value: 3 },
        ],
      },
    ],
    ['anything', [{ deep: [[[{ a: [1.5e3, -0.25, null, '\u0001'] }]]] }]],
    ['dateTime', '2024-02-29T23:59:59.5+01:00'],
  ];
  for (const [name, value] of documents) {
    assert.ok(judge(schemas[name] ?? {})(value));
    for (const space of [undefined, 1, 2, 4, '\t']) {
      const constraint = compileFor(
        { tokenizer, index },
        { type: 'json-schema', schema: schemas[name] },
      ).start();
      for (const token of tokenizer.encode(JSON.stringify(value, undefined, space), {
        addSpecial: false,
      })) {
        assert.ok(constraint.allows(token), `${name}, ${space}: ${tokenizer.tokenText(token)}`);
        constraint.accept(token);
      }
      assert.ok(constraint.canEnd);
    }
  }
});

test('any spelling of a string is accepted where nothing is asked of it', async () => {
  const vocabulary = await synthetic();
  const compiled = compileFor(vocabulary, {
    type: 'json-schema',
    schema: { type: 'string', maxLength: 2 },
  });
  for (const text of ['"\\u00e9\\/"', '"\\ud83d\\ude00\\n"', '"\\u0041"'])
    assert.ok(accepts(compiled, vocabulary, text));
  for (const text of [
    '"\\ud83d"',
    '"\\ude00"',
    '"\\x41"',
    '"\n"',
    '"abc"',
    '"\\u00e9\\u00e9\\u00e9"',
  ]) {
    assert.ok(!accepts(compiled, vocabulary, text), text);
  }
});

test('a fork goes its own way', async () => {
  const vocabulary = await synthetic();
  const random = randomNumbers(1);
  const constraint = compileFor(vocabulary, person).start();
  for (let step = 0; step < 30 && !constraint.canEnd; step++) {
    const before = [...constraint.mask()];
    const fork = constraint.fork();
    randomText(vocabulary, fork, random, 20);
    assert.deepEqual([...constraint.mask()], before);
    const allowed = allowedTokens(constraint, vocabulary.index.size);
    constraint.accept(allowed[Math.floor(random() * allowed.length)] as number);
  }
});

test('a token that is not allowed is an error and changes nothing', async () => {
  const vocabulary = await synthetic();
  const constraint = compileFor(vocabulary, person).start();
  const before = [...constraint.mask()];
  const wrong = [...Array(vocabulary.index.size).keys()].find(
    (id) => !constraint.allows(id),
  ) as number;
  for (const token of [wrong, -1, 1e9]) {
    assert.ok(!constraint.allows(token));
    assert.throws(
      () => constraint.accept(token),
      (error) => PacelineError.is(error) && error.code === 'internal',
    );
  }
  assert.deepEqual([...constraint.mask()], before);
});

test('forced tokens are what masks leave; likely ones are allowed and spell the forced text', async () => {
  const vocabulary = await embedded();
  const { index } = vocabulary;
  const random = randomNumbers(8);
  const call: ConstraintSpec = {
    type: 'tools',
    format: 'hermes',
    tools: [{ name: 'get_weather', parameters: schemas.nested ?? null }],
    choice: 'required',
    whiteSpace: 'none',
  };
  let likely = 0;
  let total = 0;
  for (const spec of [person, call, { type: 'choice', choices: ['abcdefgh\u{10ffff}'] } as const]) {
    for (let text = 0; text < 10; text++) {
      const constraint = compileFor(vocabulary, spec).start();
      for (let step = 0; step < 80; step++) {
        const allowed = allowedTokens(constraint, index.size);
        const forced = constraint.forced(4);
        assert.equal(forced.length > 0, allowed.length === 1 && !index.isEnd(allowed[0] as number));
        const ahead = constraint.fork();
        for (const token of forced) {
          assert.deepEqual(allowedTokens(ahead, index.size), [token]);
          ahead.accept(token);
        }
        const guess = constraint.likely(6);
        const guessed = constraint.fork();
        for (const token of guess) guessed.accept(token);
        likely += guess.length > 0 ? 1 : 0;
        total++;
        const choice = guess[0] ?? (allowed[Math.floor(random() * allowed.length)] as number);
        constraint.accept(choice);
        if (index.isEnd(choice)) break;
      }
    }
  }
  assert.ok(likely > total / 5, `${likely} of ${total}`);
});

test('white space cannot go on without end, and may be switched off', async () => {
  const vocabulary = await synthetic();
  const { index } = vocabulary;
  for (const spec of [person, { type: 'json' } as const]) {
    const constraint = compileFor(vocabulary, spec).start();
    constraint.accept(
      allowedTokens(constraint, index.size).find(
        (id) => textOf(vocabulary, [id]) === '{',
      ) as number,
    );
    let spaces = 0;
    for (;;) {
      const blank = allowedTokens(constraint, index.size).filter((id) =>
        /^\s+$/.test(textOf(vocabulary, [id])),
      );
      if (blank.length === 0) break;
      const shortest = blank.sort(
        (a, b) => index.bytesOf(a).length - index.bytesOf(b).length,
      )[0] as number;
      constraint.accept(shortest);
      assert.ok(++spaces < 60);
    }
  }
  const none = compileFor(vocabulary, { ...person, whiteSpace: 'none' });
  assert.ok(accepts(none, vocabulary, '{"name":"","age":1}'));
  assert.ok(!accepts(none, vocabulary, '{"name": "","age":1}'));
});

test('members in any order, or in that of the schema', async () => {
  const vocabulary = await synthetic();
  const any = compileFor(vocabulary, person);
  const ordered = compileFor(vocabulary, { ...person, schemaOrder: true });
  for (const text of ['{"name":"","age":1}', '{"name":"","age":1,"tall":true}']) {
    assert.ok(accepts(any, vocabulary, text) && accepts(ordered, vocabulary, text));
  }
  for (const text of ['{"age":1,"name":""}', '{"tall":true,"name":"","age":1}']) {
    assert.ok(accepts(any, vocabulary, text) && !accepts(ordered, vocabulary, text));
  }
  for (const text of [
    '{"name":"","name":"","age":1}',
    '{"name":""}',
    '{"name":"","age":1,"x":1}',
    '{"n\\u0061me":"","age":1}',
  ]) {
    assert.ok(!accepts(any, vocabulary, text) && !accepts(ordered, vocabulary, text));
  }
});

test('json is any object', async () => {
  const vocabulary = await synthetic();
  const compiled = compileFor(vocabulary, { type: 'json' });
  for (const text of ['{}', '{"a":[1,{"b":null}]}', '{ "a" : "x\\u0000" }'])
    assert.ok(accepts(compiled, vocabulary, text));
  for (const text of ['', '[]', '1', '{"a"}', '{"a":}', '{a:1}', '{"a":1,}', '{"a":01}', '{}\n']) {
    assert.ok(!accepts(compiled, vocabulary, text), text);
  }
});

test('after reasoning the constraint begins; the text cannot end before', async () => {
  const vocabulary = await synthetic();
  const open = compileFor(vocabulary, person, { reasoning: { end: '</think>' } });
  const optional = compileFor(vocabulary, person, {
    reasoning: { begin: '<think>', end: '</think>' },
  });
  const value = '{"name":"","age":1}';
  for (const text of [`hm {</think>${value}`, `</think>\n\n${value}`]) {
    assert.ok(accepts(open, vocabulary, text));
    assert.ok(accepts(optional, vocabulary, `<think>${text}`));
    assert.ok(!accepts(optional, vocabulary, text));
  }
  assert.ok(accepts(optional, vocabulary, value));
  assert.ok(!accepts(open, vocabulary, value));
  // The marks are special tokens here, too.
  const { index } = vocabulary;
  const constraint = optional.start();
  for (const mark of ['<think>', '</think>']) constraint.accept(index.specials.get(mark) as number);
  assert.ok(!constraint.canEnd);
  assert.ok(
    allowedTokens(constraint, index.size).every((id) => /^[\s{]/.test(textOf(vocabulary, [id]))),
  );
});

test('an index is built in slices, and stops when aborted', async () => {
  const { tokenizer } = await embedded();
  const controller = new AbortController();
  const building = buildIndex(tokenizer, { slice: 0, signal: controller.signal });
  controller.abort();
  await assert.rejects(building, (error) => PacelineError.is(error) && error.code === 'aborted');
  let turns = 0;
  const count = setInterval(() => turns++, 0);
  await buildIndex(tokenizer, { slice: 0 });
  clearInterval(count);
  assert.ok(turns > 0);
});
