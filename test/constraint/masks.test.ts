/** Masks against walking every token alone, on two kinds of vocabulary. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { maskAllows } from '../../src/constraint/constraint.js';
import type { ConstraintSpec } from '../../src/constraint/spec.js';
import { schemas } from './schemas.js';
import {
  allowedTokens,
  compileFor,
  embedded,
  randomNumbers,
  synthetic,
  type Vocabulary,
} from './support.js';

const schema = (name: string): ConstraintSpec => ({ type: 'json-schema', schema: schemas[name] });
const tools = [{ name: 'f', parameters: schemas.flat ?? null }, { name: 'g_2' }];

const specs: Readonly<Record<string, ConstraintSpec>> = {
  ...Object.fromEntries(
    [
      'flat',
      'open',
      'nested',
      'patternKeys',
      'recursive',
      'lengths',
      'partPattern',
      'enum',
      'anything',
      'dateTime',
    ].map((name) => [name, schema(name)]),
  ),
  longText: { type: 'json-schema', schema: { type: 'string', minLength: 5, maxLength: 40 } },
  regex: { type: 'regex', pattern: '(?:.{0,30}x[a-z]{3,20})+\\s?' },
  json: { type: 'json', whiteSpace: 'none' },
  grammar: { type: 'grammar', grammar: 'root ::= "<" ([a-z]+ | root){1,20} [^>\\n]* ">"' },
  choice: { type: 'choice', choices: ['red', 'green', 'greenish', ''] },
  auto: { type: 'tools', format: 'hermes', tools },
  none: { type: 'tools', format: 'mistral', tools, choice: 'none' },
  xml: { type: 'tools', format: 'qwen-xml', tools, choice: 'required' },
};

async function compare(vocabulary: Vocabulary, states: number): Promise<number> {
  const { index } = vocabulary;
  let checks = 0;
  for (const [name, spec] of Object.entries(specs)) {
    const random = randomNumbers(5);
    const compiled = compileFor(vocabulary, spec, {
      reasoning: { begin: '<think>', end: '</think>' },
    });
    let constraint = compiled.start();
    for (let count = 0; count < states; count++) {
      const mask = constraint.mask();
      const allowed = allowedTokens(constraint, index.size);
      for (let id = 0; id < index.size; id++) {
        assert.equal(maskAllows(mask, id), constraint.allows(id), `${name}: token ${id}`);
        checks++;
      }
      for (const end of index.ends) assert.equal(maskAllows(mask, end), constraint.canEnd, name);
      const choice = allowed[Math.floor(random() * allowed.length)] as number;
      constraint.accept(choice);
      if (index.isEnd(choice)) constraint = compiled.start();
    }
  }
  return checks;
}

test('masks of the embedded vocabulary are those of walking every token', async () => {
  assert.ok((await compare(await embedded(), 25)) > 2_000_000);
});

test('masks are exact with byte tokens, merged white space and tokens of equal bytes', async () => {
  assert.ok((await compare(await synthetic(), 60)) > 300_000);
});

test('a special token never matches text', async () => {
  const vocabulary = await synthetic();
  const { index } = vocabulary;
  const constraint = compileFor(vocabulary, { type: 'regex', pattern: '(?:.|\\s)*' }).start();
  assert.ok(index.specials.size > 3);
  for (const id of index.specials.values()) assert.equal(constraint.allows(id), index.isEnd(id));
  const think = index.specials.get('<think>') as number;
  const named = compileFor(vocabulary, {
    type: 'grammar',
    grammar: 'root ::= <think> "a"',
  }).start();
  assert.deepEqual(allowedTokens(named, index.size), [think]);
});

test('masks stay within their memory, and are the same when made again', async () => {
  const vocabulary = await synthetic();
  const { index } = vocabulary;
  const compiled = compileFor(vocabulary, {
    type: 'json-schema',
    schema: { type: 'string', pattern: '^[a-z]*x.{50}$' },
  });
  const constraint = compiled.start();
  const first = [...constraint.mask()];
  const letter = index.sorted.find(
    (id) => Buffer.from(index.bytesOf(id)).toString() === 'x',
  ) as number;
  const quote = index.sorted.find(
    (id) => Buffer.from(index.bytesOf(id)).toString() === '"',
  ) as number;
  constraint.accept(quote);
  for (let count = 0; count < 200; count++) {
    constraint.mask();
    constraint.accept(letter);
    assert.ok(index.masks.memory <= 64 * 2 ** 20);
  }
  assert.deepEqual([...compiled.start().mask()], first);
});
