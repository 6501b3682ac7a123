import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PacelineError } from '../../../src/base/errors.js';
import {
  anthropicErrorAnswer,
  messagesExchange,
} from '../../../src/server/dialects/anthropic/messages.js';
import { context, refusedParam, streamed, toolEvents, whole } from './support.js';

const base = { model: 'm', max_tokens: 9, messages: [{ role: 'user', content: 'x' }] };
const make = (body: object) => messagesExchange({ ...base, ...body }, context());

test('every block begins, goes on and stops before the next, at its own index', () => {
  const events = streamed(make({ stream: true }), toolEvents);
  const shown = events.map((event) => {
    const { type, index, delta, content_block: block } = event;
    return [type, index, delta?.type ?? block?.type].filter((part) => part !== undefined).join(' ');
  });
  assert.deepEqual(shown, [
    'message_start',
    'content_block_start 0 thinking',
    'content_block_delta 0 thinking_delta',
    'content_block_delta 0 thinking_delta',
    'content_block_delta 0 signature_delta',
    'content_block_stop 0',
    'content_block_start 1 text',
    'content_block_delta 1 text_delta',
    'content_block_stop 1',
    'content_block_start 2 tool_use',
    'content_block_delta 2 input_json_delta',
    'content_block_delta 2 input_json_delta',
    'content_block_stop 2',
    'content_block_start 3 tool_use',
    'content_block_delta 3 input_json_delta',
    'content_block_stop 3',
    'message_delta',
    'message_stop',
  ]);
  const usage = events[0]?.message?.usage as unknown as Record<string, number>;
  assert.equal(usage.input_tokens, 15);
  assert.equal(usage.cache_read_input_tokens, 5);
});

test('a whole message has the same blocks, with inputs as objects', () => {
  const body = whole(make({}), toolEvents) as unknown as { content: object[]; stop_reason: string };
  assert.equal(body.stop_reason, 'tool_use');
  assert.deepEqual(body.content.slice(1), [
    { type: 'text', text: 'I look.' },
    { type: 'tool_use', id: 'call_a', name: 'read', input: { path: 'a' } },
    { type: 'tool_use', id: 'call_b', name: 'list', input: {} },
  ]);
});

test('a stamp that changes with every turn does not change the prompt', () => {
  const line = (stamp: string) =>
    `x-anthropic-billing-header: cc_version=2.1.3; cc_entrypoint=cli; cch=${stamp};You help.`;
  const input = (system: unknown) => make({ system }).request.input;
  const first = input([{ type: 'text', text: line('a5145') }]);
  assert.deepEqual(input([{ type: 'text', text: line('00b7f') }]), first);
  assert.deepEqual(input(line('77777')), first);
  const other = 'Write cch=a5145 down.';
  assert.ok(JSON.stringify(input(other)).includes(other));
});

test('maps system, tools, choice, thinking and formats', () => {
  const { request } = make({
    system: [
      { type: 'text', text: 'a' },
      { type: 'text', text: 'b' },
    ],
    tools: [{ type: 'custom', name: 'f', input_schema: { type: 'object' } }],
    tool_choice: { type: 'any', disable_parallel_tool_use: true },
    thinking: { type: 'enabled', budget_tokens: 2048 },
    output_config: { effort: 'high', format: { type: 'json_schema', schema: { type: 'object' } } },
    metadata: { user_id: 'me' },
    stop_sequences: ['a'],
    top_k: 4,
  });
  assert.deepEqual(request, {
    model: 'm',
    input: {
      type: 'chat',
      messages: [
        { role: 'system', content: 'a\n\nb' },
        { role: 'user', content: 'x' },
      ],
      thinking: true,
      variables: { reasoning_effort: 'high' },
    },
    settings: { maxTokens: 9, topK: 4, stop: ['a'] },
    format: { type: 'json-schema', schema: { type: 'object' } },
    tools: {
      definitions: [{ name: 'f', parameters: { type: 'object' } }],
      choice: { type: 'required' },
      parallel: false,
    },
    reasoningBudget: 2048,
    affinity: 'me',
  });
});

test('results of tools become messages of their own, in order', () => {
  const { request } = make({
    messages: [
      { role: 'assistant', content: [{ type: 'tool_use', id: 't', name: 'f', input: { a: 1 } }] },
      {
        role: 'user',
        content: [
          { type: 'tool_result', tool_use_id: 't', content: 'r', is_error: true },
          { type: 'text', text: 'and' },
          { type: 'text', text: 'so' },
        ],
      },
    ],
  });
  assert.deepEqual(request.input.type === 'chat' && request.input.messages, [
    {
      role: 'assistant',
      content: '',
      tool_calls: [{ id: 't', type: 'function', function: { name: 'f', arguments: '{"a":1}' } }],
    },
    { role: 'tool', content: 'Error: r', tool_call_id: 't' },
    { role: 'user', content: 'and\n\nso' },
  ]);
});

test('names the field that it refuses', () => {
  const image = { type: 'image', source: {} };
  const cases: readonly (readonly [object, string])[] = [
    [{ max_tokens: undefined }, 'max_tokens'],
    [{ messages: [{ role: 'user', content: [image] }] }, 'messages.0.content.0'],
    [{ messages: [{ role: 'assistant', content: 'begin' }] }, 'messages.0.role'],
    [{ tools: [{ type: 'bash_20250124', name: 'bash' }] }, 'tools.0.type'],
    [{ tool_choice: { type: 'tool', name: 'none' } }, 'tool_choice'],
    [{ mcp_servers: [{}] }, 'mcp_servers'],
    [{ unheard_of: 1 }, 'unheard_of'],
    [{ thread: { type: 'create' } }, 'thread'],
  ];
  for (const [body, param] of cases) {
    assert.equal(
      refusedParam(() => make(body)),
      `usage ${param}`,
      JSON.stringify(body),
    );
  }
});

test('errors have the types of the API', () => {
  const kind = (code: ConstructorParameters<typeof PacelineError>[0]) => {
    const { status, body } = anthropicErrorAnswer(new PacelineError(code, 'x'), 'req_1');
    const { type, error, request_id } = body as {
      type: string;
      error: { type: string };
      request_id: string;
    };
    assert.deepEqual([type, request_id], ['error', 'req_1']);
    return `${status} ${error.type}`;
  };
  assert.equal(kind('usage'), '400 invalid_request_error');
  assert.equal(kind('unauthorized'), '401 authentication_error');
  assert.equal(kind('model-not-found'), '404 not_found_error');
  assert.equal(kind('too-large'), '413 request_too_large');
  assert.equal(kind('busy'), '429 rate_limit_error');
  assert.equal(kind('unavailable'), '503 overloaded_error');
  assert.equal(kind('internal'), '500 api_error');
});
