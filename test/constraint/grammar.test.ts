/** Grammars: what they accept, and what is refused where. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PacelineError } from '../../src/base/errors.js';
import { accepts, compileFor, randomNumbers, randomText, synthetic } from './support.js';

const arithmetic = `
# llama.cpp's example of a grammar
root  ::= (expr "=" ws term "\\n")+
expr  ::= term ([-+*/] term)*
term  ::= ident | num | "(" ws expr ")" ws
ident ::= [a-z] [a-z0-9_]* ws
num   ::= [0-9]+ ws
ws    ::= [ \\t\\n]*
`;

test('GBNF', async () => {
  const vocabulary = await synthetic();
  const compiled = compileFor(vocabulary, { type: 'grammar', grammar: arithmetic });
  for (const text of ['1=2\n', '(a+b)*3=x1 \n', '((((1))))=0\n1=1\n'])
    assert.ok(accepts(compiled, vocabulary, text), text);
  for (const text of ['1=2', '=2\n', '(1=2\n', '1++2=3\n', 'A=1\n'])
    assert.ok(!accepts(compiled, vocabulary, text), text);
});

test('EBNF with single quotes, code points, semicolons and comments', async () => {
  const vocabulary = await synthetic();
  const grammar = `/* lists */ list = '[' [0-9] (',' [0-9])* ']' ; // more
    unused := #x41 | 'b'{2} | "\\u00e4" ;`;
  const compiled = compileFor(vocabulary, { type: 'grammar', grammar });
  assert.ok(accepts(compiled, vocabulary, '[1,2,3]'));
  assert.ok(!accepts(compiled, vocabulary, '[1,]'));
  const other = compileFor(vocabulary, {
    type: 'grammar',
    grammar: `root ::= ${grammar.split(':= ')[1]}`,
  });
  for (const text of ['A', 'bb', 'ä']) assert.ok(accepts(other, vocabulary, text));
});

test('recursion is as deep as texts nest, and a rule that calls itself last does not nest', async () => {
  const vocabulary = await synthetic();
  const nested = compileFor(vocabulary, {
    type: 'grammar',
    grammar: 'root ::= "(" root ")" | "x"',
  });
  const deep = (levels: number) => `${'('.repeat(levels)}x${')'.repeat(levels)}`;
  assert.ok(accepts(nested, vocabulary, deep(150)));
  assert.ok(!accepts(nested, vocabulary, deep(250)));
  const long = compileFor(vocabulary, { type: 'grammar', grammar: 'root ::= "a" root | ""' });
  assert.ok(accepts(long, vocabulary, 'a'.repeat(2000)));
  // At the limit only what can still end is allowed.
  const { ended } = randomText(vocabulary, nested.start(), () => 0, 1000, 1000);
  assert.ok(ended);
});

test('random texts of a grammar are texts of the grammar', async () => {
  const vocabulary = await synthetic();
  const compiled = compileFor(vocabulary, { type: 'grammar', grammar: arithmetic });
  const random = randomNumbers(2);
  for (let count = 0; count < 20; count++) {
    const { text, ended } = randomText(vocabulary, compiled.start(), random);
    if (ended) assert.ok(accepts(compiled, vocabulary, text), text);
  }
});

test('faults are refused with line and column', async () => {
  const vocabulary = await synthetic();
  const faults: Readonly<Record<string, string>> = {
    'root ::= a': "no rule 'a'",
    'root ::= "a" | root "b"': 'left recursion',
    'root ::= x* root "b"\nx ::= "y"': 'left recursion',
    'a ::= b "x"\nb ::= c\nc ::= a | "z"': 'left recursion',
    'root ::= "a': 'does not end',
    'root ::= ("a"': 'not closed',
    'root ::= [b-a]': 'out of order',
    'root "a"': "'::='",
    '': 'needs a rule',
    'root ::= "a"{3,1}': 'out of order',
    'root ::= <nope>': 'no special token',
    'root ::= "a"\nroot ::= "b"': 'defined twice',
    'root ::= "\\q"': 'unknown escape',
  };
  for (const [grammar, problem] of Object.entries(faults)) {
    assert.throws(
      () => compileFor(vocabulary, { type: 'grammar', grammar }),
      (error) =>
        PacelineError.is(error) &&
        error.code === 'usage' &&
        error.message.includes(problem) &&
        typeof error.details.line === 'number',
      grammar,
    );
  }
});
