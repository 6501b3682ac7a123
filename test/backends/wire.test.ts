import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { backendNames, requestFields } from '../../src/backends/descriptor.js';
import { translatedSamples } from '../../src/backends/metrics.js';
import { backendNamed, backends } from '../../src/backends/registry.js';
import { keepsFormat } from '../../src/backends/wire/check.js';
import { parseUpstreamUrl, upstreamFailure, upstreamId } from '../../src/backends/wire/http.js';
import { patternGrammar } from '../../src/backends/wire/pattern-grammar.js';
import { wireRequest } from '../../src/backends/wire/request.js';
import { EventReader } from '../../src/backends/wire/sse.js';
import { PacelineError } from '../../src/base/errors.js';
import type { TextRequest } from '../../src/chat/request.js';
import type { Behaviour } from './fake-upstream.js';
import { chatRequest, fakeEngine, finished } from './support.js';

function refusal(param: string) {
  return (error: unknown): boolean =>
    PacelineError.is(error) && error.code === 'usage' && error.details.param === param;
}

function body(name: string, more: Partial<TextRequest>) {
  const backend = backendNamed(name);
  return wireRequest(chatRequest(more), { backend, model: 'm', choice: 0 });
}

const weather = {
  name: 'weather',
  parameters: {
    type: 'object',
    properties: { city: { type: 'string' } },
    required: ['city'],
    additionalProperties: false,
  },
};

function toolUse(choice: 'auto' | 'required') {
  return { definitions: [weather], choice: { type: choice }, parallel: true } as const;
}

const chunk = (delta: unknown, finish: string | null = null) => ({
  choices: [{ index: 0, delta, finish_reason: finish }],
});

describe('descriptors', () => {
  it('say of every backend and every field who serves it', () => {
    assert.deepEqual(
      backends.map(({ name }) => name),
      [...backendNames],
    );
    for (const { name, fields } of backends) {
      assert.deepEqual(Object.keys(fields).sort(), [...requestFields].sort(), name);
    }
    assert.throws(() => backendNamed('other'), /no backend "other"/);
  });
});

describe('requests in the words of a backend', () => {
  it('names fields as the backend does', () => {
    const settings = { topK: 5, repetitionPenalty: 1.1, seed: 7, maxTokens: 9, stop: ['x'] };
    const { body: vllm } = body('vllm', { settings, format: { type: 'regex', pattern: 'a+' } });
    assert.equal(vllm.repetition_penalty, 1.1);
    assert.equal(vllm.max_tokens, 9);
    assert.deepEqual(vllm.stop, ['x']);
    assert.deepEqual(vllm.structured_outputs, { regex: 'a+' });
    const llama = body('llama-server', { settings });
    assert.equal(llama.body.repeat_penalty, 1.1);
    assert.equal(llama.body.stop, undefined);
    assert.deepEqual(llama.reading.stops, ['x']);
    assert.equal(body('openai', { settings: { maxTokens: 9 } }).body.max_completion_tokens, 9);
  });

  it('limits tokens as each route does', () => {
    const settings = { maxTokens: 9 };
    const { body: chat } = body('openai', { settings });
    assert.deepEqual([chat.max_completion_tokens, chat.max_tokens], [9, undefined]);
    const input = { type: 'text', text: 'a' } as const;
    const { body: completion } = body('openai', { settings, input });
    assert.deepEqual([completion.max_completion_tokens, completion.max_tokens], [undefined, 9]);
  });

  it('refuses by name what nobody serves, unless it changes nothing', () => {
    assert.throws(() => body('openai', { settings: { topK: 5 } }), refusal('top_k'));
    assert.throws(
      () => body('ollama', { format: { type: 'regex', pattern: 'a' } }),
      refusal('response_format'),
    );
    assert.equal(body('openai', { settings: { topK: 0, minP: 0 } }).body.top_k, undefined);
    const variables = { style: 'short' };
    const input = { type: 'chat', messages: [], variables } as const;
    assert.throws(() => body('ollama', { input }), refusal('chat_template_kwargs'));
  });

  it('asks for calls as JSON where the backend enforces none', () => {
    const { body: sent, reading } = body('llama-server', { tools: toolUse('required') });
    assert.equal(reading.kind, 'call');
    assert.equal(sent.tools, undefined);
    const { json_schema: asked } = sent.response_format as {
      json_schema: { schema: { properties: Record<string, unknown> } };
    };
    assert.deepEqual(asked.schema.properties.name, { const: 'weather' });
    assert.equal(body('vllm', { tools: toolUse('required') }).body.tool_choice, 'required');
  });

  it('writes patterns as grammars of the same texts', async () => {
    const cases: Readonly<Record<string, readonly [readonly string[], readonly string[]]>> = {
      '^[a-c]{3}-\\d{2}$': [['abc-12'], ['abc-1', 'abd-12', 'abc-123', '']],
      '(x|yz)?[^"\\]]+': [
        ['xa', 'yzé😀', 'q'],
        ['', '"', 'x]'],
      ],
      'a*|\\u{1F600}b{2,}': [
        ['', 'aaa', '😀bb'],
        ['😀b', 'ab'],
      ],
      '': [[''], ['a']],
    };
    for (const [pattern, [matching, others]] of Object.entries(cases)) {
      const grammar = { type: 'grammar', grammar: patternGrammar(pattern) } as const;
      const regex = { type: 'regex', pattern } as const;
      for (const text of [...matching, ...others]) {
        const expected = matching.includes(text);
        const why = `${pattern} of ${JSON.stringify(text)}`;
        assert.equal(await keepsFormat(text, regex), expected, why);
        assert.equal(await keepsFormat(text, grammar), expected, `${grammar.grammar}: ${why}`);
      }
    }
    assert.throws(() => patternGrammar('a$b'), refusal('response_format'));
    assert.throws(() => patternGrammar('('), PacelineError);
    const format = { type: 'regex', pattern: 'a' } as const;
    assert.match(String(body('llama-server', { format }).body.grammar), /^root ::= /);
  });

  it('leaves room for what a text is held to, where the backend can limit thought', () => {
    const settings = { maxTokens: 41 };
    const held = { settings, format: { type: 'json' } } as const;
    assert.equal(body('llama-server', held).body.reasoning_budget_tokens, 20);
    const required = { settings, tools: toolUse('required') };
    assert.equal(body('llama-server', required).body.reasoning_budget_tokens, 20);
    for (const free of [{ settings }, { settings, tools: toolUse('auto') }]) {
      assert.equal(body('llama-server', free).body.reasoning_budget_tokens, undefined);
    }
    const given = { ...held, reasoningBudget: 3 };
    assert.equal(body('llama-server', given).body.reasoning_budget_tokens, 3);
    // A second Paceline does so itself.
    assert.equal(body('paceline', held).body.reasoning_budget, undefined);
  });

  it('keeps definitions of several tools apart', () => {
    const tool = (name: string, type: string) => ({
      name,
      parameters: {
        type: 'object',
        properties: { a: { $ref: '#/$defs/A' } },
        $defs: { A: { type } },
      },
    });
    const definitions = [tool('f', 'string'), tool('g', 'number')];
    const tools = { definitions, choice: { type: 'required' }, parallel: true } as const;
    const { body: sent } = body('llama-server', { tools });
    const text = JSON.stringify(sent.response_format);
    assert.match(text, /"\$ref":"#\/\$defs\/tool0_A"/);
    assert.match(text, /"tool1_A":\{"type":"number"\}/);
  });
});

describe('answers of a backend', () => {
  const answering = (chunks: readonly unknown[]) => ({
    behave: (): Behaviour => ({ type: 'chunks', chunks }),
  });

  it('takes no text for whole that the upstream gave up', async (t) => {
    for (const reason of ['abort', 'error']) {
      const chunks = [chunk({ content: 'Half of ' }), chunk({}, reason)];
      const { engine } = await fakeEngine(t, [answering(chunks)]);
      await assert.rejects(finished(engine, chatRequest({})), (error) => {
        assert.ok(PacelineError.is(error) && error.code === 'network');
        assert.match(error.message, new RegExp(`gave the text up \\(${reason}\\)`));
        return true;
      });
    }
  });

  it('reads thought, calls and counts', async (t) => {
    const call = (more: object) => chunk({ tool_calls: [{ index: 0, ...more }] });
    const chunks = [
      chunk({ role: 'assistant', reasoning_content: 'Hm' }),
      chunk({ content: 'Well. ' }),
      call({ id: 'c1', function: { name: 'weather', arguments: '' } }),
      call({ function: { arguments: '{"city":' } }),
      call({ function: { arguments: '"Rome"}' } }),
      chunk({}, 'tool_calls'),
      {
        choices: [],
        usage: {
          prompt_tokens: 20,
          completion_tokens: 9,
          prompt_tokens_details: { cached_tokens: 16 },
          completion_tokens_details: { reasoning_tokens: 1 },
        },
      },
    ];
    const { engine } = await fakeEngine(t, [answering(chunks)]);
    const { choices } = await finished(engine, chatRequest({ tools: toolUse('auto') }));
    const [choice] = choices;
    assert.equal(choice?.reasoning, 'Hm');
    assert.deepEqual(choice?.toolCalls, [
      { id: 'c1', name: 'weather', arguments: '{"city":"Rome"}' },
    ]);
    const { end } = choice ?? {};
    assert.equal(end?.reason, 'tool-calls');
    assert.deepEqual(end?.prompt, { promptTokens: 20, cachedTokens: 16 });
    assert.equal(end?.tokens, 9);
    assert.equal(end?.reasoningTokens, 1);
    assert.match(end?.engine ?? '', /^openai 127\.0\.0\.1:/);
  });

  it('refuses what is not what was asked for', async (t) => {
    const format = { type: 'json-schema', schema: { type: 'integer' } } as const;
    const cases: readonly [Partial<TextRequest>, readonly unknown[], string][] = [
      [{ format }, [chunk({ content: '"text"' }), chunk({}, 'stop')], 'check-failed'],
      [
        { tools: toolUse('required') },
        [chunk({ content: 'no' }), chunk({}, 'stop')],
        'check-failed',
      ],
      [
        { tools: toolUse('auto') },
        [chunk({ tool_calls: [{ index: 0, id: 'a', function: { name: 'other' } }] })],
        'network',
      ],
      [
        { tools: toolUse('auto') },
        [
          chunk({
            tool_calls: [{ index: 0, id: 'a', function: { name: 'weather', arguments: '{' } }],
          }),
          chunk({}, 'tool_calls'),
        ],
        'check-failed',
      ],
    ];
    for (const [more, chunks, code] of cases) {
      const { engine } = await fakeEngine(t, [answering(chunks)]);
      await assert.rejects(
        finished(engine, chatRequest(more)),
        (error) => PacelineError.is(error) && error.code === code,
        JSON.stringify(chunks),
      );
    }
  });

  it('takes JSON in any layout, and tells of arguments that nobody had promised', async (t) => {
    const format = { type: 'json-schema', schema: { type: 'array' } } as const;
    const spaced = [chunk({ content: '[\n      1,     "a  b"\n]' }), chunk({}, 'stop')];
    const first = await fakeEngine(t, [answering(spaced)]);
    assert.equal((await finished(first.engine, chatRequest({ format }))).choices.length, 1);
    const call = { index: 0, id: 'a', function: { name: 'weather', arguments: '{"town":1}' } };
    const second = await fakeEngine(t, [
      answering([chunk({ tool_calls: [call] }), chunk({}, 'tool_calls')]),
    ]);
    const { choices } = await finished(second.engine, chatRequest({ tools: toolUse('auto') }));
    assert.equal(choices[0]?.end.warnings?.length, 1);
  });

  it('finds stop strings that the backend does not tell', async (t) => {
    const pieces = ['one st', 'op', ' two'].map((content) => chunk({ content }));
    const { engine } = await fakeEngine(t, [answering([...pieces, chunk({}, 'stop')])]);
    const { choices } = await finished(engine, chatRequest({ settings: { stop: ['stop'] } }));
    assert.equal(choices[0]?.text, 'one ');
    assert.equal(choices[0]?.end.stopText, 'stop');
  });

  it('makes a choice of a JSON string', async (t) => {
    const format = { type: 'choice', choices: ['yes', 'no'] } as const;
    const { engine } = await fakeEngine(t, [
      answering([chunk({ content: '"no"' }), chunk({}, 'stop')]),
    ]);
    assert.equal((await finished(engine, chatRequest({ format }))).choices[0]?.text, 'no');
  });

  it('asks for several texts with seeds that follow each other', async (t) => {
    const { engine, upstreams } = await fakeEngine(t, [{}]);
    const { choices } = await finished(engine, chatRequest({ choices: 2, settings: { seed: 5 } }));
    assert.equal(choices.length, 2);
    assert.deepEqual(
      upstreams[0]?.requests.map(({ seed }) => seed),
      [5, 6],
    );
  });

  it('tells what of a tool’s schema is not enforced', async (t) => {
    const chunks = [chunk({ content: 'no' }), chunk({}, 'stop')];
    const behave = (): Behaviour => ({ type: 'chunks', chunks });
    const { engine } = await fakeEngine(t, [{ behave }]);
    const parameters = { type: 'object', properties: { path: { format: 'odd-format' } } };
    const open = { name: 'open', parameters };
    const tools = { ...toolUse('auto'), definitions: [weather, open] };
    const { choices } = await finished(engine, chatRequest({ tools }));
    const warnings = choices[0]?.end.warnings ?? [];
    assert.equal(warnings.length, 1, warnings.join());
    assert.match(warnings[0] ?? '', /^open: .*format/);
  });

  it('makes vectors as short as they are asked for, and refuses longer ones', async (t) => {
    const body = { data: [{ index: 0, embedding: [3, 4, 12] }], usage: { prompt_tokens: 2 } };
    const behave = (): Behaviour => ({ type: 'status', status: 200, body });
    const { engine } = await fakeEngine(t, [{ behave }]);
    const { signal } = new AbortController();
    const embed = (dimensions: number) =>
      engine.embed({ model: 'fake', texts: ['a'], dimensions }, { signal });
    const { vectors } = await embed(2);
    assert.deepEqual([...(vectors[0] ?? [])], [...Float32Array.of(0.6, 0.8)]);
    await assert.rejects(embed(4), refusal('dimensions'));
  });

  it('counts a prompt by a text of one token where there is no other way', async (t) => {
    const { engine } = await fakeEngine(t, [{}]);
    assert.equal(await engine.count(chatRequest(), new AbortController().signal), 7);
  });

  it('sends its key, and tells it to nobody', async (t) => {
    const { engine, upstreams } = await fakeEngine(t, [{}]);
    const url = upstreams[0]?.url ?? '';
    await engine.stop();
    const { createBackendEngine } = await import('../../src/backends/create.js');
    const keyed = await createBackendEngine({
      queueLimit: 1,
      upstreams: [{ url, backend: 'openai', key: 'secret-key' }],
    });
    t.after(() => keyed.stop());
    await keyed.start();
    await finished(keyed, chatRequest());
    assert.equal(upstreams[0]?.headers.at(-1)?.authorization, 'Bearer secret-key');
    assert.doesNotMatch(JSON.stringify(keyed.reports), /secret/);
  });
});

describe('what comes over the wire', () => {
  it('is cut into events anywhere', () => {
    const text = 'data: {"a":"ä"}\r\n\r\n: ping\n\ndata: x\ndata: y\n\n';
    const bytes = Buffer.from(text);
    for (let size = 1; size < bytes.length; size++) {
      const reader = new EventReader();
      const found: string[] = [];
      for (let at = 0; at < bytes.length; at += size) {
        found.push(...reader.push(bytes.subarray(at, at + size)));
      }
      assert.deepEqual(found, ['{"a":"ä"}', 'x\ny']);
    }
  });

  it('is bounded', () => {
    const reader = new EventReader();
    const piece = Buffer.alloc(2 ** 20, 'a');
    assert.throws(() => {
      for (let round = 0; round < 9; round++) reader.push(piece);
    }, RangeError);
  });

  it('makes errors that say what a client needs', () => {
    const overflow = upstreamFailure(
      'http://x',
      400,
      JSON.stringify({ error: { n_prompt_tokens: 9000, n_ctx: 4096, message: 'too long' } }),
    );
    assert.equal(overflow.code, 'context-overflow');
    assert.equal(overflow.details.promptTokens, 9000);
    const vllm = upstreamFailure(
      'http://x',
      400,
      '{"message":"This model\'s maximum context length is 2048 tokens. However, you requested 3000 tokens"}',
    );
    assert.deepEqual([vllm.code, vllm.details.contextLength], ['context-overflow', 2048]);
    assert.equal(upstreamFailure('http://x', 401, 'no').code, 'network');
    for (const body of [
      '{"detail":"Not Found"}',
      '{"error":{"message":"Not Found"}}',
      '404 page not found',
    ]) {
      const missing = upstreamFailure('http://x', 404, body);
      assert.deepEqual([missing.code, missing.details.retryable], ['platform', undefined], body);
    }
    const unknown = '{"error":{"message":"The model `x` does not exist.","code":404}}';
    const model = upstreamFailure('http://x', 404, unknown);
    assert.deepEqual([model.code, model.details.retryable], ['network', true]);
    assert.equal(upstreamFailure('http://x', 429, '', 3).details.retryAfter, 3);
  });

  it('refuses URLs with passwords, and takes those of SDKs', () => {
    assert.throws(
      () => parseUpstreamUrl('http://me:secret@host'),
      (error: Error) => {
        assert.doesNotMatch(error.message, /secret/);
        return true;
      },
    );
    assert.equal(parseUpstreamUrl('http://host:8000/v1').href, 'http://host:8000/');
    for (const text of [
      'https://Host:443',
      'https://host/',
      'HTTPS://HOST/v1/',
      'https://host/v1',
    ]) {
      assert.equal(upstreamId(text), 'https://host');
    }
    assert.equal(upstreamId('http://Host:8000/Path//'), 'http://host:8000/Path');
  });

  it('adds metrics up under our names', () => {
    const text = '# HELP x\nvllm:a_total{b="1"} 2\nvllm:a_total{b="2"} 3\nother 9\n';
    assert.deepEqual(
      [...translatedSamples(text, { 'vllm:a_total': 'ours_total' })],
      [['ours_total', 5]],
    );
  });
});
