/** Streams as vLLM 0.32 writes them, recorded: what is not as the API says. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
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
