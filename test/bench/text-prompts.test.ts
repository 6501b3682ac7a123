import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PacelineError } from '../../src/base/errors.js';
import { parsePrompts } from '../../src/bench/text-prompts.js';

test('a line is a question, a text as it is, or a conversation', () => {
  const source =
    'Why?\n\n {odd}\n{"prompt": "Once"}\n{"messages": [{"role": "user", "content": "Hi"}]}\n';
  assert.deepEqual(parsePrompts(source, 'f', true), [
    { messages: [{ role: 'user', content: 'Why?' }] },
    { messages: [{ role: 'user', content: '{odd}' }] },
    { text: 'Once' },
    { messages: [{ role: 'user', content: 'Hi' }] },
  ]);
  assert.deepEqual(parsePrompts('  a \n', 'f', false), [{ text: '  a ' }]);
});

test('what is neither is refused with its line', () => {
  const wrong = [
    '{',
    '{}',
    '{"prompt": ""}',
    '{"messages": []}',
    '{"messages": [{"role": "x"}]}',
    '{"messages": 1}',
  ];
  for (const line of wrong) {
    assert.throws(
      () => parsePrompts(`ok\n${line}`, 'file.txt', true),
      (error) =>
        PacelineError.is(error) &&
        error.code === 'usage' &&
        /^file\.txt, line 2: /.test(error.message),
      line,
    );
  }
});
