/** Tools and structured output with random weights, whatever client asks: they hold by constraint. */
import assert from 'node:assert/strict';
import { before, describe } from 'node:test';
import { createAnthropic } from '@ai-sdk/anthropic';
import { createOpenAI } from '@ai-sdk/openai';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import Anthropic from '@anthropic-ai/sdk';
import { ChatOpenAI } from '@langchain/openai';
import { generateText, type LanguageModel, Output, streamText, type ToolSet, tool } from 'ai';
import { Ollama } from 'ollama';
import OpenAI from 'openai';
import { zodTextFormat } from 'openai/helpers/zod';
import { z } from 'zod';
import type { TestServer } from '../support.js';
import { clientServer, it } from './server.js';

const input = z.object({ path: z.enum(['a', 'b']), count: z.int().min(0).max(99) });
const parameters = {
  type: 'object' as const,
  properties: {
    path: { type: 'string', enum: ['a', 'b'] },
    count: { type: 'integer', minimum: 0, maximum: 99 },
  },
  required: ['path', 'count'],
  additionalProperties: false,
};
const read = { type: 'function' as const, function: { name: 'read', parameters } };
const list = {
  type: 'function' as const,
  function: {
    name: 'list',
    parameters: { type: 'object', properties: {}, additionalProperties: false },
  },
};
const messages = [{ role: 'user' as const, content: 'Read it.' }];
const prompt = 'Read it.';

const parse = (text: string): z.infer<typeof input> => input.parse(JSON.parse(text));

describe('tools and structured output', () => {
  let server: TestServer;
  let openai: OpenAI;
  let anthropic: Anthropic;
  let languageModels: Readonly<Record<string, LanguageModel>>;
  before(async () => {
    server = await clientServer();
    const baseURL = `${server.url}/v1`;
    openai = new OpenAI({ baseURL, apiKey: 'none', maxRetries: 0 });
    anthropic = new Anthropic({ baseURL: server.url, apiKey: 'none', maxRetries: 0 });
    const provider = createOpenAI({ baseURL, apiKey: 'none' });
    languageModels = {
      chat: provider.chat('thinking'),
      responses: provider.responses('thinking'),
      compatible: createOpenAICompatible({
        name: 'paceline',
        baseURL,
        supportsStructuredOutputs: true,
      })('thinking'),
      anthropic: createAnthropic({ baseURL, apiKey: 'none' })('thinking'),
    };
  });

  for (const model of ['default', 'thinking']) {
    it(`${model}: required and named calls are valid, whole and accumulated`, async () => {
      const settings = {
        model,
        messages,
        max_tokens: 400,
        seed: 4,
        tools: [read, list],
        parallel_tool_calls: false,
      };
      const named = await openai.chat.completions.create({
        ...settings,
        tool_choice: { type: 'function', function: { name: 'read' } },
      });
      const choice = named.choices[0];
      assert.equal(choice?.finish_reason, 'tool_calls');
      const call = choice.message.tool_calls?.[0];
      assert.ok(call?.type === 'function' && call.function.name === 'read');
      parse(call.function.arguments);
      assert.ok(!JSON.stringify(choice.message).includes('tool_call>'), 'markup leaks');

      const stream = openai.chat.completions.stream({ ...settings, tool_choice: 'required' });
      const final = await stream.finalChatCompletion();
      const calls = final.choices[0]?.message.tool_calls ?? [];
      assert.equal(calls.length, 1);
      JSON.parse((calls[0]?.type === 'function' && calls[0].function.arguments) || 'no call');
    });
  }

  it('thinks, then calls, and goes on when the result comes back', async () => {
    const first = await openai.chat.completions.create({
      model: 'thinking',
      messages,
      max_tokens: 400,
      seed: 5,
      tools: [read],
      tool_choice: 'required',
      ...{ reasoning_budget: 5 },
    });
    const message = first.choices[0]?.message;
    assert.ok(message !== undefined);
    assert.ok((message as { reasoning_content?: string }).reasoning_content);
    const [call] = message.tool_calls ?? [];
    const second = await openai.chat.completions.create({
      model: 'thinking',
      messages: [
        ...messages,
        message,
        { role: 'tool', tool_call_id: call?.id ?? '', content: 'ok' },
      ],
      max_tokens: 4,
      tools: [read],
    });
    assert.equal(second.choices.length, 1);
  });

  it('finds a call again as it was sampled, and not one that was changed', async () => {
    const settings = {
      model: 'default',
      max_tokens: 300,
      tools: [read],
      parallel_tool_calls: false,
    };
    const first = await openai.chat.completions.create({
      ...settings,
      messages,
      seed: 3,
      tool_choice: 'required',
    });
    assert.equal(first.choices[0]?.finish_reason, 'tool_calls', JSON.stringify(first));
    const message = first.choices[0]?.message;
    const [call] = message?.tool_calls ?? [];
    assert.ok(message !== undefined && call?.type === 'function');
    const cached = async (text: string): Promise<number> => {
      const told = { ...call, function: { name: call.function.name, arguments: text } };
      const result = { role: 'tool' as const, tool_call_id: call.id, content: 'ok' };
      const answer = await openai.chat.completions.create({
        ...settings,
        messages: [...messages, { ...message, tool_calls: [told] }, result],
        max_tokens: 1,
      });
      return answer.usage?.prompt_tokens_details?.cached_tokens ?? 0;
    };
    const { prompt_tokens: prompt = 0, completion_tokens: said = 0 } = first.usage ?? {};
    // The last token that was said has not been computed: nothing came after it.
    const least = prompt + said - 2;
    const exact = await cached(call.function.arguments);
    assert.ok(exact >= least, `${exact} of ${prompt} + ${said}`);
    const changed = await cached('{"path":"a","count":7,"more":0}');
    assert.ok(changed < least, `${changed} of ${prompt} + ${said}`);
  });

  it('says what of a tool’s schema is not enforced', async () => {
    const properties = {
      path: { type: 'string', contentMediaType: 'text/x', format: 'odd-format' },
    };
    const tool = { name: 'open', parameters: { type: 'object', properties } };
    const { warnings } = (await openai.chat.completions.create({
      model: 'default',
      messages,
      max_tokens: 20,
      tools: [{ type: 'function', function: tool }],
    })) as { warnings?: string[] };
    assert.match(warnings?.join() ?? '', /format/);
  });

  it('takes a hundred tools at once', async () => {
    const many = Array.from({ length: 100 }, (_, index) => ({
      ...read,
      function: { name: `tool_${index}`, parameters: { type: 'object', properties: {} } },
    }));
    const { choices } = await openai.chat.completions.create({
      model: 'default',
      messages: [{ role: 'user', content: 'x' }],
      max_tokens: 60,
      tools: many.slice(0, 40),
      tool_choice: 'required',
    });
    assert.equal(choices.length, 1);
  });

  it('parses structured output of chat completions and responses', async () => {
    const json_schema = { name: 'input', schema: parameters, strict: true };
    for (const model of ['default', 'thinking']) {
      const chat = await openai.chat.completions.parse({
        model,
        messages,
        max_tokens: 400,
        seed: 2,
        response_format: { type: 'json_schema', json_schema },
      });
      parse(chat.choices[0]?.message.content ?? '');
      const response = await openai.responses.parse({
        model,
        input: prompt,
        max_output_tokens: 400,
        text: { format: zodTextFormat(input, 'input') },
      });
      assert.ok(response.output_parsed);
    }
  });

  it('calls functions over responses, with every event', async () => {
    const types = new Set<string>();
    const stream = openai.responses.stream({
      model: 'thinking',
      input: prompt,
      max_output_tokens: 400,
      tools: [{ type: 'function', name: 'read', parameters, strict: true }],
      tool_choice: 'required',
      parallel_tool_calls: false,
    });
    for await (const event of stream) types.add(event.type);
    const response = await stream.finalResponse();
    const call = response.output.find(({ type }) => type === 'function_call');
    assert.ok(call?.type === 'function_call');
    parse(call.arguments);
    assert.ok(types.has('response.function_call_arguments.delta'));
    assert.ok(types.has('response.function_call_arguments.done'));
  });

  it('holds an answer to its format beside tools that may be called', async () => {
    const told = new Set<string>();
    for (let seed = 1; seed <= 4; seed++) {
      const { choices } = await openai.chat.completions.create({
        model: 'default',
        messages,
        max_tokens: 300,
        temperature: 1,
        seed,
        tools: [read],
        parallel_tool_calls: false,
        response_format: {
          type: 'json_schema',
          json_schema: { name: 'answer', schema: parameters, strict: true },
        },
      });
      const { content, tool_calls: calls = [] } = choices[0]?.message ?? {};
      for (const call of calls) parse((call.type === 'function' && call.function.arguments) || '');
      if (calls.length === 0) parse(content ?? '');
      told.add(calls.length === 0 ? 'text' : 'call');
    }
    assert.ok(told.size > 0);
    const broken = openai.chat.completions.create({
      model: 'default',
      messages,
      tools: [read],
      response_format: {
        type: 'json_schema',
        json_schema: { name: 'answer', schema: { type: 'object', unheardOf: 1 }, strict: true },
      },
    });
    await assert.rejects(broken, (error) => {
      assert.ok(error instanceof OpenAI.BadRequestError);
      assert.equal(error.param, 'response_format');
      return true;
    });
  });

  it('writes what a regular expression, a grammar or a list allows', async () => {
    const ask = async (format: object): Promise<string> => {
      const { choices } = await openai.chat.completions.create({
        model: 'thinking',
        messages,
        max_tokens: 60,
        seed: 1,
        reasoning_effort: 'none',
        response_format: format as OpenAI.ResponseFormatText,
      });
      return choices[0]?.message.content ?? '';
    };
    assert.match(await ask({ type: 'regex', pattern: '[a-c]{3}-\\d{2}' }), /^[a-c]{3}-\d{2}$/);
    assert.match(await ask({ type: 'grammar', grammar: 'root ::= "x" ("y" | "z")' }), /^x[yz]$/);
    assert.match(await ask({ type: 'choice', choices: ['left', 'right'] }), /^(left|right)$/);
    await assert.rejects(ask({ type: 'regex', pattern: '(' }), OpenAI.BadRequestError);
    await assert.rejects(
      ask({ type: 'json_schema', json_schema: { schema: { type: 'object', unheardOf: 1 } } }),
      /unheardOf/,
    );
  });

  it('calls tools and keeps to a schema over anthropic’s API', async () => {
    const settings = { model: 'thinking', messages, max_tokens: 400 };
    const tools = [{ name: 'read', input_schema: parameters }];
    for (const choice of [{ type: 'any' }, { type: 'tool', name: 'read' }] as const) {
      const tool_choice = { ...choice, disable_parallel_tool_use: true };
      const final = await anthropic.messages
        .stream({ ...settings, tools, tool_choice })
        .finalMessage();
      assert.equal(final.stop_reason, 'tool_use');
      const use = final.content.find(({ type }) => type === 'tool_use');
      assert.ok(use?.type === 'tool_use');
      input.parse(use.input);
    }
    const whole = await anthropic.messages.create({
      ...settings,
      output_config: { format: { type: 'json_schema', schema: parameters } },
    });
    const text = whole.content.find(({ type }) => type === 'text');
    parse(text?.type === 'text' ? text.text : '');
  });

  it('keeps to a schema over ollama’s API', async () => {
    const client = new Ollama({ host: server.url });
    const answer = await client.chat({
      model: 'thinking',
      messages,
      format: parameters,
      think: false,
      options: { num_predict: 400, seed: 3 },
    });
    parse(answer.message.content);
  });

  for (const name of ['chat', 'responses', 'compatible', 'anthropic']) {
    it(`ai with ${name}: calls and objects`, async () => {
      const model = languageModels[name] as LanguageModel;
      const tools = { read: tool({ inputSchema: input }) } as unknown as ToolSet;
      const settings = {
        model,
        prompt,
        maxOutputTokens: 400,
        maxRetries: 0,
        seed: 2,
        // Without an end to the calls the last one would be cut by the limit.
        providerOptions: {
          openai: { parallelToolCalls: false },
          anthropic: { disableParallelToolUse: true },
        },
      };
      const called = await generateText({ ...settings, tools, toolChoice: 'required' });
      assert.ok(called.toolCalls.length >= 1);
      for (const call of called.toolCalls) input.parse(call.input);
      const stream = streamText({ ...settings, tools, toolChoice: 'required' });
      const calls = await stream.toolCalls;
      assert.ok(calls.length >= 1);
      for (const call of calls) input.parse(call.input);
      const { output } = await generateText({
        ...settings,
        output: Output.object({ schema: input }),
      });
      input.parse(output);
    });
  }

  it('langchain: bound tools and structured output', async () => {
    const chat = new ChatOpenAI({
      model: 'thinking',
      apiKey: 'none',
      maxTokens: 400,
      maxRetries: 0,
      configuration: { baseURL: `${server.url}/v1` },
    });
    const bound = chat.bindTools([read], { tool_choice: 'required' });
    const { tool_calls: calls } = await bound.invoke(prompt);
    input.parse(calls?.[0]?.args);
    type Piece = Awaited<ReturnType<typeof bound.invoke>>;
    let streamed: Piece | undefined;
    for await (const chunk of await bound.stream(prompt)) {
      streamed = streamed === undefined ? chunk : streamed.concat(chunk);
    }
    input.parse(streamed?.tool_calls?.[0]?.args);
    const object = await chat.withStructuredOutput(input, { method: 'jsonSchema' }).invoke(prompt);
    input.parse(object);
  });
});
