/** What vLLM 0.32 does otherwise than the API says, as it was recorded. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { backendNamed } from '../../src/backends/registry.js';
import { wireRequest } from '../../src/backends/wire/request.js';
import type { ToolDefinition } from '../../src/chat/request.js';
import { chatRequest, fakeEngine, finished } from './support.js';

const token = (text: string) => ({
  ...{ token: text, logprob: -0.5, bytes: [...Buffer.from(text)] },
  top_logprobs: [{ token: text, logprob: -0.5, bytes: [...Buffer.from(text)] }],
});

const chunk = (content: string, texts: readonly string[], finish: string | null = null) => ({
  choices: [
    {
      ...{ index: 0, delta: content === '' ? {} : { content }, finish_reason: finish },
      logprobs: { content: texts.map(token) },
      stop_reason: finish === null ? null : 6130,
    },
  ],
});

for (const [where, chunks] of [
  ['alone', [chunk('x', ['x']), chunk('', ['<|im_end|>'], 'stop')]],
  ['beside a word', [chunk('x', ['x', '<|im_end|>'], 'stop')]],
] as const) {
  it(`the token that ends a text has no probability in it: ${where}`, async (t) => {
    const behave = () => ({ type: 'chunks', chunks }) as const;
    const { engine } = await fakeEngine(t, [{ behave }], { backend: 'vllm' });
    const { choices } = await finished(engine, chatRequest({ settings: { logprobs: 1 } }));
    assert.equal(choices[0]?.text, 'x');
    assert.deepEqual(
      choices[0]?.logprobs?.map(({ text }) => text),
      ['x'],
    );
  });
}

it('calls that have to be made are asked for as strict, since it enforces no others', () => {
  const parameters = { type: 'object', properties: { a: { type: 'integer' } } };
  const definitions: readonly ToolDefinition[] = [
    { name: 'said', parameters, strict: false },
    { name: 'unsaid', parameters },
  ];
  const strictOf = (name: string, type: 'auto' | 'required') => {
    const tools = { definitions, choice: { type }, parallel: true } as const;
    const backend = backendNamed(name);
    const { body } = wireRequest(chatRequest({ tools }), { backend, model: 'm', choice: 0 });
    return (body.tools as { function: { strict?: boolean } }[]).map((one) => one.function.strict);
  };
  assert.deepEqual(strictOf('vllm', 'required'), [true, true]);
  assert.deepEqual(strictOf('vllm', 'auto'), [false, undefined]);
  assert.deepEqual(strictOf('sglang', 'required'), [false, undefined]);
});
