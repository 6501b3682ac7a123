import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { PacelineError } from '../../../src/base/errors.js';
import { contextOverflow } from '../../../src/chat/refusals.js';
import { chatExchange } from '../../../src/server/dialects/openai/chat.js';
import { openaiErrorAnswer } from '../../../src/server/dialects/openai/common.js';
import { completionExchange } from '../../../src/server/dialects/openai/completions.js';
import { ResponseStore } from '../../../src/server/dialects/openai/response-store.js';
import { responseExchange } from '../../../src/server/dialects/openai/responses.js';
import { context, end, refusedParam, streamed, streamText, toolEvents, whole } from './support.js';

const messages = [{ role: 'user', content: 'x' }];
const base = { model: 'm', messages };
const tool = { type: 'function', function: { name: 'read', parameters: { type: 'object' } } };

describe('chat completions', () => {
  const chat = (body: object) => chatExchange({ ...base, ...body }, context());

  it('maps every setting', () => {
    const { request, stream } = chat({
      max_tokens: 5,
      max_completion_tokens: 7,
      temperature: 0.5,
      top_p: 0.6,
      top_k: 3,
      min_p: 0.1,
      presence_penalty: 1,
      frequency_penalty: -1,
      repetition_penalty: 1.1,
      penalty_window: 8,
      logit_bias: { '3': -100 },
      seed: 4,
      stop: 'end',
      logprobs: true,
      top_logprobs: 3,
      draft: 'none',
      n: 2,
      stream: true,
      prompt_cache_key: 'agent',
      reasoning_effort: 'low',
      reasoning_budget: 9,
      chat_template_kwargs: { extra: 1 },
      user: 'ignored',
      store: false,
    });
    assert.ok(stream);
    assert.deepEqual(request, {
      model: 'm',
      input: {
        type: 'chat',
        messages,
        thinking: true,
        variables: { reasoning_effort: 'low', extra: 1 },
      },
      settings: {
        maxTokens: 7,
        temperature: 0.5,
        topP: 0.6,
        topK: 3,
        minP: 0.1,
        presencePenalty: 1,
        frequencyPenalty: -1,
        repetitionPenalty: 1.1,
        penaltyWindow: 8,
        logitBias: { '3': -100 },
        seed: 4,
        stop: ['end'],
        logprobs: 3,
        draft: 'none',
      },
      choices: 2,
      affinity: 'agent',
      reasoningBudget: 9,
    });
  });

  it('takes null for what is left open, and reads the ids that agents send', () => {
    const body = { ...base, temperature: null, tools: null, stop: null, n: null };
    const { request } = chatExchange(body, context({ 'x-session-affinity': 's' }));
    assert.deepEqual(request.settings, {});
    assert.equal(request.affinity, 's');
  });

  it('maps tools, their choice, and formats', () => {
    const named = { type: 'function', function: { name: 'read' } };
    const { request } = chat({ tools: [tool], tool_choice: named, parallel_tool_calls: false });
    assert.deepEqual(request.tools, {
      definitions: [{ name: 'read', parameters: { type: 'object' } }],
      choice: { type: 'named', name: 'read' },
      parallel: false,
    });
    const json_schema = { name: 'n', schema: { type: 'object' }, strict: true };
    assert.deepEqual(
      chat({ response_format: { type: 'json_schema', json_schema } }).request.format,
      {
        type: 'json-schema',
        schema: { type: 'object' },
        strict: true,
      },
    );
    assert.deepEqual(chat({ response_format: { type: 'json_object' } }).request.format, {
      type: 'json',
    });
    const regex = { type: 'regex', pattern: 'a+' };
    assert.deepEqual(chat({ response_format: regex }).request.format, regex);
    const many = Array.from({ length: 100 }, (_, index) => ({
      ...tool,
      function: { name: `f${index}` },
    }));
    assert.equal(chat({ tools: many }).request.tools?.definitions.length, 100);
  });

  it('names the field that it refuses', () => {
    const cases: readonly (readonly [object, string])[] = [
      [{ model: undefined }, 'model'],
      [{ messages: [] }, 'messages'],
      [{ messages: 'x' }, 'messages'],
      [{ messages: [{ role: 'user' }] }, 'messages.0.content'],
      [{ messages: [{ role: 'user', content: [{ type: 'text' }] }] }, 'messages.0.content.0'],
      [{ max_tokens: 1.5 }, 'max_tokens'],
      [{ seed: -1 }, 'seed'],
      [{ logit_bias: { word: 1 } }, 'logit_bias.word'],
      [{ tools: [{ type: 'web' }] }, 'tools.0.type'],
      [{ tools: [{ type: 'function', function: { name: 'a b' } }] }, 'tools.0.function.name'],
      [{ tools: [tool, tool] }, 'tools'],
      [
        { tools: [tool], tool_choice: { type: 'function', function: { name: 'x' } } },
        'tool_choice',
      ],
      [{ tool_choice: 'maybe' }, 'tool_choice'],
      [{ response_format: { type: 'xml' } }, 'response_format.type'],
      [{ modalities: ['audio'] }, 'modalities.0'],
      [{ web_search_options: {} }, 'web_search_options'],
      [{ whatever: 1 }, 'whatever'],
      [{ stop: ['a', ''] }, 'stop.1'],
    ];
    for (const [body, param] of cases) {
      assert.equal(
        refusedParam(() => chat(body)),
        `usage ${param}`,
        JSON.stringify(body),
      );
    }
    for (const body of [null, [], 'x', 3]) {
      assert.equal(
        refusedParam(() => chatExchange(body, context())),
        'usage ',
      );
    }
  });

  it('streams thought, text and calls, each begun once', () => {
    const chunks = streamed(chat({ stream: true }), toolEvents);
    const deltas = chunks.map(({ choices }) => choices?.[0]?.delta);
    assert.deepEqual(JSON.parse(JSON.stringify(deltas)), [
      { role: 'assistant', content: '', refusal: null },
      { reasoning_content: 'let me ' },
      { reasoning_content: 'look' },
      { content: 'I look.' },
      {
        tool_calls: [
          { index: 0, id: 'call_a', type: 'function', function: { name: 'read', arguments: '' } },
        ],
      },
      { tool_calls: [{ index: 0, function: { arguments: '{"path"' } }] },
      { tool_calls: [{ index: 0, function: { arguments: ':"a"}' } }] },
      {
        tool_calls: [
          { index: 1, id: 'call_b', type: 'function', function: { name: 'list', arguments: '' } },
        ],
      },
      { tool_calls: [{ index: 1, function: { arguments: '{}' } }] },
      {},
    ]);
    assert.equal(chunks.at(-1)?.choices?.[0]?.finish_reason, 'tool_calls');
  });

  it('says the same as a whole, with usage of cached and drafted tokens', () => {
    const body = whole(chat({}), toolEvents) as unknown as {
      choices: { message: object; finish_reason: string }[];
      usage: object;
    };
    assert.deepEqual(body.choices[0]?.message, {
      role: 'assistant',
      content: 'I look.',
      refusal: null,
      reasoning_content: 'let me look',
      tool_calls: [
        { id: 'call_a', type: 'function', function: { name: 'read', arguments: '{"path":"a"}' } },
        { id: 'call_b', type: 'function', function: { name: 'list', arguments: '{}' } },
      ],
    });
    assert.equal(body.choices[0]?.finish_reason, 'tool_calls');
    assert.deepEqual(body.usage, {
      prompt_tokens: 20,
      completion_tokens: 9,
      total_tokens: 29,
      prompt_tokens_details: { cached_tokens: 5 },
      completion_tokens_details: {
        reasoning_tokens: 2,
        accepted_prediction_tokens: 3,
        rejected_prediction_tokens: 1,
      },
    });
  });

  it('ends a stream with [DONE], and a broken one with an error', () => {
    assert.ok(streamText(chat({ stream: true }), toolEvents).endsWith('data: [DONE]\n\n'));
    const encoder = chat({ stream: true }).encoder();
    const text = encoder.error(new PacelineError('internal', 'it broke'));
    assert.match(text, /^data: \{"error":\{"message":"it broke","type":"server_error"/);
    assert.match(encoder.ping(), /^:/);
  });
});

describe('completions', () => {
  it('takes texts or lists of tokens, one or several', () => {
    const make = (prompt: unknown) => {
      const { request, further = [] } = completionExchange({ model: 'm', prompt }, context());
      return [request, ...further].map(({ input }) => input);
    };
    const text = (of: string) => ({ type: 'text', text: of });
    const tokens = (of: readonly number[]) => ({ type: 'tokens', tokens: of });
    assert.deepEqual(make('a'), [text('a')]);
    assert.deepEqual(make(['a']), [text('a')]);
    assert.deepEqual(make(['a', 'b']), [text('a'), text('b')]);
    assert.deepEqual(make([1, 2]), [tokens([1, 2])]);
    assert.deepEqual(make([[1, 2]]), [tokens([1, 2])]);
    assert.deepEqual(make([[1], [2, 3]]), [tokens([1]), tokens([2, 3])]);
    for (const wrong of [[], [[]], ['a', 1], [1, 'a'], ['a', [1]], [{}], Array(129).fill('a')]) {
      assert.match(
        refusedParam(() => make(wrong)),
        /^usage prompt/,
        JSON.stringify(wrong).slice(0, 40),
      );
    }
    const suffix = () => completionExchange({ model: 'm', prompt: 'a', suffix: 'b' }, context());
    assert.equal(refusedParam(suffix), 'usage suffix');
  });
});

describe('responses', () => {
  const make = (body: object, store = new ResponseStore()) =>
    responseExchange({ model: 'm', input: 'x', ...body }, context(), store);

  it('says every event of the sequence, numbered, with items that agree with the whole', () => {
    const store = new ResponseStore();
    const events = streamed(make({ stream: true, tools: [] }, store), toolEvents);
    assert.deepEqual(
      events.map(({ sequence_number }) => sequence_number),
      events.map((_, index) => index),
    );
    assert.deepEqual(
      events.map(({ type }) => String(type).replace('response.', '')),
      [
        'created',
        'in_progress',
        'output_item.added',
        'content_part.added',
        'reasoning_text.delta',
        'reasoning_text.delta',
        'reasoning_text.done',
        'content_part.done',
        'output_item.done',
        'output_item.added',
        'content_part.added',
        'output_text.delta',
        'output_text.done',
        'content_part.done',
        'output_item.done',
        'output_item.added',
        'function_call_arguments.delta',
        'function_call_arguments.delta',
        'function_call_arguments.done',
        'output_item.done',
        'output_item.added',
        'function_call_arguments.delta',
        'function_call_arguments.done',
        'output_item.done',
        'completed',
      ],
    );
    const response = events.at(-1)?.response as unknown as {
      id: string;
      output: { type: string; id: string }[];
    };
    const done = events.filter(({ type }) => String(type) === 'response.output_item.done');
    assert.deepEqual(
      response.output,
      done.map(({ item }) => item),
    );
    for (const [index, { output_index }] of done.entries()) assert.equal(output_index, index);
    assert.deepEqual(store.get(response.id)?.output, response.output);
    const body = whole(make({}), toolEvents) as unknown as { output: { type: string }[] };
    const bare = (items: readonly object[]) => items.map((item) => ({ ...item, id: '' }));
    assert.deepEqual(bare(body.output), bare(response.output));
  });

  it('is incomplete at the limit and failed after an error', () => {
    const text = [
      { type: 'start', promptTokens: 1, cachedTokens: 0 },
      { type: 'text', choice: 0, text: 'a' },
      end({ reason: 'length' }),
    ] as const;
    const last = streamed(make({ stream: true }), text).at(-1);
    assert.equal(last?.type, 'response.incomplete');
    assert.equal(last?.response?.incomplete_details?.reason, 'max_output_tokens');
    const encoder = make({ stream: true }).encoder();
    encoder.events([text[0]]);
    const said = encoder.error(new PacelineError('internal', 'it broke'));
    assert.match(said, /event: response\.failed\n/);
    assert.match(said, /event: error\n/);
  });

  it('turns the items of an agent into a conversation', () => {
    const { request } = make({
      instructions: 'Be brief.',
      input: [
        { type: 'message', role: 'developer', content: [{ type: 'input_text', text: 'dev' }] },
        { role: 'user', content: 'go' },
        {
          type: 'reasoning',
          summary: [],
          content: [{ type: 'reasoning_text', text: 'hm' }],
          encrypted_content: null,
        },
        { type: 'function_call', call_id: 'c1', name: 'run', namespace: 'ns', arguments: '{}' },
        { type: 'function_call', call_id: 'c2', name: 'read', arguments: '{"a"' },
        { type: 'function_call_output', call_id: 'c1', output: 'done' },
        { type: 'function_call_output', output: [{ type: 'input_text', text: 'goal' }] },
      ],
      tools: [
        { type: 'function', name: 'read', strict: null, parameters: { type: 'object' } },
        { type: 'namespace', name: 'ns', tools: [{ type: 'function', name: 'run' }] },
        { type: 'web_search' },
      ],
      store: false,
      include: ['reasoning.encrypted_content'],
      text: {},
      prompt_cache_key: 'k',
      parallel_tool_calls: true,
    });
    assert.deepEqual(request.input.type === 'chat' && request.input.messages, [
      { role: 'system', content: 'Be brief.' },
      { role: 'system', content: 'dev' },
      { role: 'user', content: 'go' },
      {
        role: 'assistant',
        content: '',
        reasoning_content: 'hm',
        tool_calls: [
          { id: 'c1', type: 'function', function: { name: 'ns.run', arguments: '{}' } },
          { id: 'c2', type: 'function', function: { name: 'read', arguments: '{"a"' } },
        ],
      },
      { role: 'tool', content: 'done', tool_call_id: 'c1' },
      { role: 'tool', content: 'goal' },
    ]);
    assert.deepEqual(
      request.tools?.definitions.map(({ name }) => name),
      ['read', 'ns.run'],
    );
  });

  it('names the field that it refuses', () => {
    const cases: readonly (readonly [object, string])[] = [
      [{ background: true }, 'background'],
      [{ truncation: 'auto' }, 'truncation'],
      [{ conversation: 'c' }, 'conversation'],
      [{ input: [{ type: 'item_reference', id: 'x' }] }, 'input.0'],
      [{ tools: [{ type: 'custom', name: 'x' }] }, 'tools.0'],
      [{ nonsense: 1 }, 'nonsense'],
    ];
    for (const [body, param] of cases) {
      assert.match(
        refusedParam(() => make(body)),
        new RegExp(`^usage ${param}`),
        JSON.stringify(body),
      );
    }
  });

  it('keeps as many responses as it may, the used ones longest', () => {
    const store = new ResponseStore({ most: 2 });
    const put = (id: string): void => store.put({ response: { id }, input: [], output: [] });
    put('a');
    put('b');
    store.get('a');
    put('c');
    assert.equal(store.get('b'), undefined);
    assert.ok(store.get('a') && store.get('c'));
    const small = new ResponseStore({ mostBytes: 300 });
    small.put({
      response: { id: 'a' },
      input: [{ role: 'user', content: 'x'.repeat(100) }],
      output: [],
    });
    small.put({ response: { id: 'b' }, input: [], output: [] });
    assert.equal(small.get('a'), undefined);
    assert.ok(small.get('b'));
  });
});

describe('errors', () => {
  it('have the status, type, code and param of the API', () => {
    const answer = openaiErrorAnswer(contextOverflow(5000, 2048));
    assert.deepEqual(answer, {
      status: 400,
      body: {
        error: {
          message:
            "This model's maximum context length is 2048 tokens. However, your messages resulted in 5000 tokens. Shorten the prompt, or give the model a longer context (--ctx, contextLength).",
          type: 'invalid_request_error',
          param: null,
          code: 'context_length_exceeded',
          n_prompt_tokens: 5000,
          n_ctx: 2048,
        },
      },
    });
    const kind = (error: PacelineError) => {
      const { status, body } = openaiErrorAnswer(error);
      const { type, code } = (body as { error: { type: string; code: string } }).error;
      return `${status} ${type} ${code}`;
    };
    const make = (code: ConstructorParameters<typeof PacelineError>[0]) =>
      kind(new PacelineError(code, 'x'));
    assert.equal(make('unauthorized'), '401 authentication_error invalid_api_key');
    assert.equal(make('model-not-found'), '404 invalid_request_error model_not_found');
    assert.equal(make('busy'), '429 rate_limit_error rate_limit_exceeded');
    assert.equal(make('unavailable'), '503 server_error unavailable');
    assert.equal(make('internal'), '500 server_error internal');
  });
});
