/** The official client of Anthropic against a server on loopback. */
import assert from 'node:assert/strict';
import { before, describe } from 'node:test';
import Anthropic from '@anthropic-ai/sdk';
import type { TestServer } from '../support.js';
import { clientServer, it, slotsAreFree } from './server.js';

const messages = [{ role: 'user' as const, content: 'Write a loop in TypeScript.' }];
const greedy = { model: 'default', messages, temperature: 0, max_tokens: 10 };

describe('the anthropic client', () => {
  let server: TestServer;
  let client: Anthropic;
  before(async () => {
    server = await clientServer();
    client = new Anthropic({ baseURL: server.url, apiKey: 'none', maxRetries: 0 });
  });

  it('answers, whole, raw and accumulated, with the same words', async () => {
    const whole = await client.messages.create(greedy);
    assert.match(whole.id, /^msg_/);
    assert.equal(whole.stop_reason, 'max_tokens');
    assert.equal(whole.usage.output_tokens, 10);
    const [block] = whole.content;
    assert.ok(block?.type === 'text' && block.text.length > 0);

    const types: string[] = [];
    for await (const event of await client.messages.create({ ...greedy, stream: true })) {
      if (types.at(-1) !== event.type) types.push(event.type);
    }
    assert.deepEqual(types, [
      'message_start',
      'content_block_start',
      'content_block_delta',
      'content_block_stop',
      'message_delta',
      'message_stop',
    ]);
    const final = await client.messages.stream(greedy).finalMessage();
    assert.deepEqual(final.content[0]?.type === 'text' && final.content[0].text, block.text);
    assert.equal(final.stop_reason, 'max_tokens');
    assert.equal(final.usage.output_tokens, 10);
  });

  it('counts the tokens that a request is then charged', async () => {
    const system = 'You write code.';
    const { input_tokens: count } = await client.messages.countTokens({
      model: 'default',
      messages,
      system,
    });
    for (let round = 0; round < 2; round++) {
      const { usage } = await client.messages.create({ ...greedy, system });
      assert.equal(usage.input_tokens + (usage.cache_read_input_tokens ?? 0), count);
    }
  });

  it('says which stop sequence ended the text', async () => {
    const whole = await client.messages.create(greedy);
    const text = whole.content[0]?.type === 'text' ? whole.content[0].text : '';
    const stop = text.slice(4, 7);
    const stopped = await client.messages.create({ ...greedy, stop_sequences: ['nowhere', stop] });
    assert.equal(stopped.stop_reason, 'stop_sequence');
    assert.equal(stopped.stop_sequence, stop);
  });

  it('thinks in a block of its own, with a signature, within its budget', async () => {
    const settings = {
      ...greedy,
      model: 'thinking',
      max_tokens: 60,
      thinking: { type: 'enabled' as const, budget_tokens: 5 },
      ...{ seed: 3, temperature: 1 },
    };
    const whole = await client.messages.create(settings);
    assert.deepEqual(
      whole.content.map(({ type }) => type),
      ['thinking', 'text'],
    );
    const starts: number[] = [];
    let open: number | undefined;
    const stream = client.messages.stream(settings);
    for await (const event of stream) {
      if (event.type === 'content_block_start') {
        assert.equal(open, undefined, 'a block begins inside another');
        open = event.index;
        starts.push(event.index);
      } else if (event.type === 'content_block_stop') {
        assert.equal(event.index, open);
        open = undefined;
      }
    }
    assert.deepEqual(starts, [0, 1]);
    const final = await stream.finalMessage();
    assert.deepEqual(final.content, whole.content);
    const [thought] = final.content;
    assert.ok(thought?.type === 'thinking' && thought.signature.length > 0);

    const quiet = await client.messages.create({ ...settings, thinking: { type: 'disabled' } });
    assert.deepEqual(
      quiet.content.map(({ type }) => type),
      ['text'],
    );
  });

  it('takes what coding agents send', async () => {
    const body = {
      ...greedy,
      system: [{ type: 'text' as const, text: 'a', cache_control: { type: 'ephemeral' as const } }],
      metadata: { user_id: 'user_1_session_2' },
      thinking: { type: 'adaptive' as const },
      output_config: { effort: 'high' as const },
      context_management: { edits: [{ type: 'clear_thinking_20251015', keep: 'all' }] },
      tool_choice: { type: 'none' as const },
      tools: [
        {
          name: 'Read',
          description: 'x',
          input_schema: { type: 'object' as const, properties: {} },
        },
      ],
      messages: [
        { role: 'user', content: [{ type: 'text', text: 'read it' }] },
        { role: 'system', content: 'a late reminder' },
        {
          role: 'assistant',
          content: [
            { type: 'thinking', thinking: 'hm', signature: 'x' },
            { type: 'text', text: 'I read.' },
            { type: 'tool_use', id: 't1', name: 'Read', input: { path: 'a' } },
          ],
        },
        {
          role: 'user',
          content: [
            { type: 'tool_result', tool_use_id: 't1', content: [{ type: 'text', text: 'text' }] },
            { type: 'text', text: 'go on' },
          ],
        },
      ],
    };
    const answer = await client.messages.create(
      body as unknown as Anthropic.MessageCreateParamsNonStreaming,
      { query: { beta: 'true' } },
    );
    assert.equal(answer.role, 'assistant');
  });

  it('frees the slot of a stream that is aborted', async () => {
    const stream = client.messages.stream({ ...greedy, max_tokens: 1500 });
    stream.on('text', () => stream.abort());
    await assert.rejects(stream.finalMessage(), Anthropic.APIUserAbortError);
    await slotsAreFree(server);
  });

  it('maps failures to the classes of the client', async () => {
    await assert.rejects(
      client.messages.create({ ...greedy, model: 'claude-none' }),
      (error: unknown) =>
        error instanceof Anthropic.NotFoundError &&
        (error.error as { error?: { type?: string } }).error?.type === 'not_found_error',
    );
    await assert.rejects(
      client.messages.create({ ...greedy, max_tokens: 0 }),
      Anthropic.BadRequestError,
    );
    const content = 'const value = 1;\n'.repeat(1000);
    await assert.rejects(
      client.messages.create({ ...greedy, messages: [{ role: 'user', content }] }),
      (error: Error) => /prompt is too long: \d{4,} tokens > 2048 maximum/.test(error.message),
    );
    const image = { type: 'image' as const, source: { type: 'url' as const, url: 'http://x/y' } };
    await assert.rejects(
      client.messages.create({ ...greedy, messages: [{ role: 'user', content: [image] }] }),
      /messages\.0\.content\.0.*image/,
    );
    await assert.rejects(
      client.messages.create({
        ...greedy,
        ...{ thread: { type: 'create' } },
      }),
      (error: unknown) =>
        JSON.stringify((error as InstanceType<typeof Anthropic.APIError>).error).includes(
          '"error_code":"thread_unsupported_request"',
        ),
    );
  });
});
