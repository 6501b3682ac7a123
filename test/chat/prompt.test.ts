/** Conversations that strict templates refuse at first, on models whose templates are strict. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { encodePrompt } from '../../src/chat/prompt.js';
import { loadModel } from '../../src/engine/load.js';
import type { ChatMessage } from '../../src/engine/types.js';
import { GgufValueType } from '../../src/gguf/types.js';
import { writeGguf } from '../../src/gguf/writer.js';
import { randomModel } from '../../src/synthetic/random-model.js';
import { temporaryFile } from '../support/tiny-model.js';

let models = 0;

/** The text of the prompt that a template makes of messages. */
async function promptOf(template: string, messages: readonly ChatMessage[]): Promise<string> {
  const path = temporaryFile(`prompt-${models++}.gguf`);
  const sizes = { layers: 1, embedding: 64, heads: 2, kvHeads: 1, headDim: 32, inner: 64 };
  const { metadata, tensors } = randomModel({ architecture: 'llama', ...sizes });
  const entries = new Map(metadata);
  entries.set('tokenizer.chat_template', { type: GgufValueType.STRING, value: template });
  await writeGguf(path, { metadata: entries, tensors });
  const model = await loadModel(path, { threads: 1 });
  try {
    const input = { type: 'chat', messages } as const;
    const tokens = encodePrompt(model, { model: 'm', input, settings: {} });
    // The vocabulary has no token for the space that SentencePiece puts in front.
    return model.tokenizer.decode(tokens).replace(/^\u2581/, '');
  } finally {
    await model.dispose();
  }
}

const write = '{{ message.role }}={{ message.content }};';
const refuse = (what: string): string => `{{ raise_exception('${what}') }}`;
const each = (body: string): string => `{% for message in messages %}${body}{% endfor %}`;

describe('prompts', () => {
  it('are as given where the template takes them', async () => {
    const messages: ChatMessage[] = [
      { role: 'system', content: 'a' },
      { role: 'user', content: 'b' },
      { role: 'user', content: 'c' },
    ];
    assert.equal(await promptOf(each(write), messages), 'system=a;user=b;user=c;');
  });

  it('have late system messages as the user’s, and roles in turn', async () => {
    const template = each(
      `{% if message.role == 'system' and loop.index0 > 0 %}${refuse('late')}{% endif %}` +
        `{% if loop.index0 > 0 and messages[loop.index0 - 1].role == message.role %}${refuse('twice')}{% endif %}${write}`,
    );
    const text = await promptOf(template, [
      { role: 'system', content: 'a' },
      { role: 'user', content: 'b' },
      { role: 'system', content: 'c' },
      { role: 'assistant', content: 'd' },
      { role: 'assistant', content: 'e' },
    ]);
    assert.equal(text, 'system=a;user=b\n\nc;assistant=d\n\ne;');
  });

  it('have no system message where there is none', async () => {
    const template = each(
      `{% if message.role == 'system' %}${refuse('system')}{% endif %}${write}`,
    );
    const messages: ChatMessage[] = [
      { role: 'system', content: 'a' },
      { role: 'user', content: 'b' },
    ];
    assert.equal(await promptOf(template, messages), 'user=a\n\nb;');
    assert.equal(await promptOf(template, messages.slice(0, 1)), 'user=a;');
  });

  it('have short ids and readable arguments where the template insists', async () => {
    const template = `{# <tool_call> #}${each(
      `{% for call in message.tool_calls or [] %}` +
        `{% if call.id | length != 9 %}${refuse('id')}{% endif %}` +
        `{{ call.id }}{% for key, value in call.function.arguments | items %}{{ key }}:{{ value }}{% endfor %}` +
        `{% endfor %}{{ message.tool_call_id }};`,
    )}`;
    const call = {
      id: 'call_1234567890',
      type: 'function',
      function: { name: 'f', arguments: '{"a":' },
    };
    const text = await promptOf(template, [
      { role: 'assistant', content: '', tool_calls: [call] },
      { role: 'tool', content: 'r', tool_call_id: 'call_1234567890' },
    ]);
    const found = /^([0-9a-f]{9})malformed:\{"a":;([0-9a-f]{9});$/.exec(text);
    assert.ok(found !== null, text);
    assert.equal(found[1], found[2]);
  });

  it('have what follows a result in it, where the user may not speak then', async () => {
    const body = `{% if message.role == 'user' and loop.index0 > 0 %}${refuse('turn')}{% endif %}`;
    const template = `{# <tool_call> #}${each(body + write)}`;
    const text = await promptOf(template, [
      { role: 'tool', content: 'r' },
      { role: 'user', content: 'next' },
    ]);
    assert.equal(text, 'tool=r\n\nnext;');
  });

  it('have calls and results as text where the template knows no tools', async () => {
    const call = { id: 'c', type: 'function', function: { name: 'f', arguments: '{"a":1}' } };
    const text = await promptOf(each(write), [
      { role: 'assistant', content: 'hm', tool_calls: [call] },
      { role: 'tool', content: 'r', tool_call_id: 'c' },
    ]);
    const json = '{"name":\u2581"f",\u2581"arguments":\u2581{"a":1}}';
    assert.equal(
      text,
      `assistant=hm\n<tool_call>\n${json}\n</tool_call>;user=<tool_response>\nr\n</tool_response>;`,
    );
  });

  it('are refused by name when nothing helps', async () => {
    await assert.rejects(
      promptOf(refuse('never'), [{ role: 'user', content: 'x' }]),
      (error: { code: string; details: { param: string } }) =>
        error.code === 'usage' && error.details.param === 'messages',
    );
  });
});
