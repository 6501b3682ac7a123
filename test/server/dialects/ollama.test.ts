import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PacelineError } from '../../../src/base/errors.js';
import type { TextExchange } from '../../../src/server/dialects/dialect.js';
import {
  ollamaChat,
  ollamaErrorAnswer,
  ollamaGenerate,
} from '../../../src/server/dialects/ollama/generate.js';
import type { Json } from '../support.js';
import { context, refusedParam, streamText, toolEvents } from './support.js';

const base = { model: 'm', messages: [{ role: 'user', content: 'x' }] };
const chat = (body: object) => ollamaChat({ ...base, ...body }, context()) as TextExchange;

test('a stream is lines of JSON, calls come whole, the last line says done', () => {
  const lines = streamText(chat({}), toolEvents)
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Json);
  const messages = lines.map(({ message }) => message as unknown as object);
  assert.deepEqual(messages.slice(0, 5), [
    { role: 'assistant', content: '', thinking: 'let me ' },
    { role: 'assistant', content: '', thinking: 'look' },
    { role: 'assistant', content: 'I look.' },
    {
      role: 'assistant',
      content: '',
      tool_calls: [{ function: { name: 'read', arguments: { path: 'a' } } }],
    },
    {
      role: 'assistant',
      content: '',
      tool_calls: [{ function: { name: 'list', arguments: {} } }],
    },
  ]);
  const done = lines.map((line) => Boolean(line.done));
  assert.deepEqual(done, [false, false, false, false, false, true]);
  assert.equal(lines.at(-1)?.done_reason, 'stop');
});

test('streams unless told otherwise; maps options, format and thinking', () => {
  const { request, stream } = chat({
    options: { num_predict: -1, temperature: 0.1, repeat_penalty: 1.2, seed: 3, num_ctx: 4096 },
    format: { type: 'object' },
    think: 'high',
  });
  assert.ok(stream);
  assert.deepEqual(request, {
    model: 'm',
    input: {
      type: 'chat',
      messages: base.messages,
      thinking: true,
      variables: { reasoning_effort: 'high' },
    },
    settings: { temperature: 0.1, repetitionPenalty: 1.2, seed: 3 },
    format: { type: 'json-schema', schema: { type: 'object' } },
  });
  assert.deepEqual(chat({ format: 'json' }).request.format, { type: 'json' });
  const raw = { model: 'm', prompt: 'p', raw: true, stream: false };
  const generate = ollamaGenerate(raw, context()) as TextExchange;
  assert.equal(generate.stream, false);
  assert.deepEqual(generate.request.input, { type: 'text', text: 'p' });
});

test('without a prompt it loads or unloads', () => {
  const load = ollamaGenerate({ model: 'm' }, context());
  assert.ok('load' in load && load.load === 'load');
  const unload = ollamaChat({ model: 'm', messages: [], keep_alive: 0 }, context());
  assert.ok('load' in unload && unload.load === 'unload');
});

test('names the field that it refuses, and errors are texts', () => {
  const cases: readonly (readonly [object, string])[] = [
    [{ messages: [{ role: 'user', content: 'x', images: ['a'] }] }, 'messages.0.images'],
    [{ options: { mirostat: 1 } }, 'options.mirostat'],
    [{ options: { hocus: 1 } }, 'options.hocus'],
    [{ logprobs: true }, 'logprobs'],
    [{ format: 'xml' }, 'format'],
    [{ pocus: 1 }, 'pocus'],
  ];
  for (const [body, param] of cases) {
    assert.equal(
      refusedParam(() => chat(body)),
      `usage ${param}`,
      JSON.stringify(body),
    );
  }
  const { status, body } = ollamaErrorAnswer(new PacelineError('busy', 'Full', { hint: 'Wait.' }));
  assert.deepEqual({ status, body }, { status: 429, body: { error: 'Full. Wait.' } });
  const encoder = chat({}).encoder();
  assert.deepEqual(JSON.parse(encoder.error(new PacelineError('internal', 'x'))), { error: 'x' });
  assert.equal((JSON.parse(encoder.ping()) as { done: boolean }).done, false);
});
