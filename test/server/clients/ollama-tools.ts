/**
 * Tools through the official client of Ollama, whose API has no way to demand a call: a model that was
 * taught to make one says a word, calls, and answers with the result.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type Message, Ollama, type ToolCall } from 'ollama';
import { hermesCall, taughtTemplate, writeTaughtModel } from '../../agents/taught-model.js';
import { temporaryFile } from '../../support/tiny-model.js';
import { startServer, type TestServer } from '../support.js';

const tools = [
  {
    type: 'function',
    function: {
      name: 'read',
      description: 'Reads a file',
      parameters: {
        type: 'object',
        properties: { path: { type: 'string', description: 'Its path' } },
        required: ['path'],
      },
    },
  },
];
const question: Message = { role: 'user', content: 'When does the bridge open?' };
const options = { temperature: 0, num_predict: 100 };
const call = { name: 'read', arguments: { path: 'note.txt' } };

interface Heard {
  readonly text: string;
  readonly calls: readonly ToolCall[];
  readonly doneReason: string | undefined;
  /** Lines that had text, calls, or `done`. */
  readonly lines: number;
}

describe('tools through the ollama client', () => {
  let server: TestServer;
  let client: Ollama;
  before(async () => {
    const path = temporaryFile('taught.gguf');
    const texts = { act: `I look.${hermesCall(call.name, call.arguments)}`, answer: 'At seven' };
    await writeTaughtModel(path, {
      vocabulary: 'qwen2',
      template: taughtTemplate,
      texts,
      context: 2048,
    });
    server = await startServer({ models: [{ id: 'taught', path }], keepAliveMs: 60_000 });
    client = new Ollama({ host: server.url });
  });
  after(() => server.close(0));

  async function streamed(messages: Message[]): Promise<Heard> {
    let text = '';
    let doneReason: string | undefined;
    let lines = 0;
    const calls: ToolCall[] = [];
    const settings = { model: 'taught', messages, tools, options, stream: true } as const;
    for await (const part of await client.chat(settings)) {
      lines += 1;
      assert.equal(doneReason, undefined, 'nothing follows the line that says done');
      text += part.message.content;
      calls.push(...(part.message.tool_calls ?? []));
      if (part.done) doneReason = part.done_reason;
    }
    return { text, calls, doneReason, lines };
  }

  it('streams the text before a call, then the call as a whole, then done', async () => {
    const { text, calls, doneReason, lines } = await streamed([question]);
    assert.equal(text.trim(), 'I look.', 'no markup leaks');
    assert.deepEqual(
      calls.map((one) => one.function),
      [call],
    );
    assert.equal(doneReason, 'stop');
    assert.ok(lines >= 3, String(lines));
    const whole = await client.chat({ model: 'taught', messages: [question], tools, options });
    assert.equal(whole.message.content, text);
    assert.deepEqual(
      whole.message.tool_calls?.map((one) => one.function),
      [call],
    );
    assert.equal(whole.done_reason, 'stop');
  });

  it('answers with the result of the call that the client sends back', async () => {
    const { text, calls } = await streamed([question]);
    const history: Message[] = [
      question,
      { role: 'assistant', content: text, tool_calls: [...calls] },
      { role: 'tool', content: 'It opens at seven.', tool_name: call.name },
    ];
    const answer = await streamed(history);
    assert.equal(answer.text, 'At seven');
    assert.deepEqual(answer.calls, []);
  });
});
