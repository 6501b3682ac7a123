/** The official client of OpenAI against a server on loopback: raw iterators and helpers that add up. */
import assert from 'node:assert/strict';
import { before, describe } from 'node:test';
import OpenAI, { type APIError } from 'openai';
import type { TestServer } from '../support.js';
import { clientServer, it, slotsAreFree } from './server.js';

const model = 'default';
const messages = [{ role: 'user' as const, content: 'Write a loop in TypeScript.' }];
const greedy = { model, messages, temperature: 0, max_tokens: 12 };

describe('the openai client', () => {
  let server: TestServer;
  let client: OpenAI;
  before(async () => {
    server = await clientServer();
    client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: 'none', maxRetries: 0 });
  });

  it('completes a chat, whole, raw and accumulated, with the same words', async () => {
    const whole = await client.chat.completions.create(greedy);
    const choice = whole.choices[0];
    assert.equal(choice?.finish_reason, 'length');
    assert.ok((choice?.message.content ?? '').length > 0);
    assert.match(whole.id, /^chatcmpl-/);
    const usage = whole.usage;
    assert.equal(usage?.completion_tokens, 12);
    assert.equal(usage?.total_tokens, (usage?.prompt_tokens ?? 0) + 12);

    const raw = await client.chat.completions.create({
      ...greedy,
      stream: true,
      stream_options: { include_usage: true },
    });
    const chunks: OpenAI.ChatCompletionChunk[] = [];
    for await (const chunk of raw) chunks.push(chunk);
    assert.equal(chunks[0]?.choices[0]?.delta.role, 'assistant');
    assert.equal(new Set(chunks.map(({ id, created }) => `${id} ${created}`)).size, 1);
    const last = chunks.at(-1);
    assert.deepEqual(last?.choices, []);
    assert.equal(last?.usage?.prompt_tokens, usage?.prompt_tokens);
    assert.equal(last?.usage?.completion_tokens, 12);
    assert.equal(chunks.at(-2)?.choices[0]?.finish_reason, 'length');
    const text = chunks.map((chunk) => chunk.choices[0]?.delta.content ?? '').join('');
    assert.equal(text, choice?.message.content);

    const stream = client.chat.completions.stream(greedy);
    const final = await stream.finalChatCompletion();
    assert.equal(final.choices[0]?.message.content, choice?.message.content);
    assert.equal(final.choices[0]?.message.role, 'assistant');
  });

  it('sends usage only when asked', async () => {
    const raw = await client.chat.completions.create({ ...greedy, stream: true });
    for await (const chunk of raw) assert.equal(chunk.usage, undefined);
  });

  it('finds the prefix of the last turn again, and says so', async () => {
    const first = await client.chat.completions.create(greedy);
    const content = first.choices[0]?.message.content ?? '';
    const next = await client.chat.completions.create({
      ...greedy,
      messages: [
        ...messages,
        { role: 'assistant', content },
        { role: 'user', content: 'And a class.' },
      ],
    });
    const cached = next.usage?.prompt_tokens_details?.cached_tokens ?? 0;
    assert.ok(cached >= (first.usage?.prompt_tokens ?? Infinity), `${cached} cached`);
  });

  it('gives n texts with seeds of their own from one prefill', async () => {
    const settings = { ...greedy, temperature: 1, seed: 5, n: 3 };
    const { choices, usage } = await client.chat.completions.create(settings);
    assert.deepEqual(
      choices.map(({ index }) => index),
      [0, 1, 2],
    );
    assert.equal(new Set(choices.map(({ message }) => message.content)).size, 3);
    assert.ok((usage?.completion_tokens ?? 0) > 12);
    const second = await client.chat.completions.create({ ...settings, n: 1, seed: 6 });
    assert.equal(second.choices[0]?.message.content, choices[1]?.message.content);
    const streamed = await client.chat.completions.stream(settings).finalChatCompletion();
    assert.deepEqual(
      streamed.choices.map(({ message }) => message.content),
      choices.map(({ message }) => message.content),
    );
  });

  it('reports log-probabilities, also accumulated', async () => {
    const settings = { ...greedy, max_tokens: 4, logprobs: true, top_logprobs: 2 };
    const whole = await client.chat.completions.create(settings);
    const content = whole.choices[0]?.logprobs?.content ?? [];
    assert.equal(content.length, 4);
    assert.equal(content.map(({ token }) => token).join(''), whole.choices[0]?.message.content);
    for (const { token, top_logprobs: top, logprob } of content) {
      assert.equal(top.length, 2);
      assert.equal(top[0]?.token, token);
      assert.equal(top[0]?.logprob, logprob);
    }
    const streamed = await client.chat.completions.stream(settings).finalChatCompletion();
    assert.deepEqual(streamed.choices[0]?.logprobs?.content, content);
    const bare = await client.chat.completions.create({ ...greedy, logprobs: true });
    assert.deepEqual(bare.choices[0]?.logprobs?.content?.[0]?.top_logprobs, []);
  });

  it('streams log-probabilities with the text that they belong to', async () => {
    const stream = await client.chat.completions.create({
      ...greedy,
      logprobs: true,
      stream: true,
    });
    let shown = 0;
    for await (const { choices } of stream) {
      const { delta, logprobs } = choices[0] ?? {};
      const text = delta?.content ?? '';
      if (text === '') continue;
      const bytes = (logprobs?.content ?? []).flatMap((entry) => entry.bytes ?? []);
      assert.equal(Buffer.from(bytes).toString(), text);
      shown += 1;
    }
    assert.ok(shown > 1);
  });

  it('ends at a stop string and leaves it out', async () => {
    const whole = await client.chat.completions.create(greedy);
    const text = whole.choices[0]?.message.content ?? '';
    const stop = text.slice(5, 8);
    const stopped = await client.chat.completions.create({ ...greedy, stop: [stop] });
    assert.equal(stopped.choices[0]?.finish_reason, 'stop');
    assert.equal(stopped.choices[0]?.message.content, text.slice(0, text.indexOf(stop)));
  });

  it('bans a token by its bias', async () => {
    const free = await client.chat.completions.create({ ...greedy, max_tokens: 1, logprobs: true });
    const word = free.choices[0]?.message.content ?? '';
    const { loadModel } = await import('../../../src/engine/load.js');
    const loaded = await loadModel('default', { threads: 1, contextLength: 64 });
    const [token = 0] = loaded.tokenizer.encode(word, { addSpecial: false });
    await loaded.dispose();
    const banned = await client.chat.completions.create({
      ...greedy,
      max_tokens: 1,
      logit_bias: { [token]: -100 },
    });
    assert.notEqual(banned.choices[0]?.message.content, word);
  });

  it('continues a text', async () => {
    const settings = { model, prompt: 'export function ', temperature: 0, max_tokens: 8 };
    const whole = await client.completions.create({ ...settings, logprobs: 1, n: 1 });
    assert.match(whole.id, /^cmpl-/);
    assert.equal(whole.choices[0]?.logprobs?.tokens?.length, 8);
    let text = '';
    for await (const chunk of await client.completions.create({ ...settings, stream: true })) {
      text += chunk.choices[0]?.text ?? '';
    }
    assert.equal(text, whole.choices[0]?.text);
    const echoed = await client.completions.create({ ...settings, echo: true });
    assert.equal(echoed.choices[0]?.text, settings.prompt + text);
  });

  it('continues several texts at once as it continues each alone', async () => {
    const prompts = ['export function ', '# Usage', 'import {', 'a', 'const x = ', 'let y = '];
    const settings = { model, temperature: 1, seed: 3, max_tokens: 6, n: 2 };
    const alone: string[] = [];
    let tokens = 0;
    for (const prompt of prompts) {
      const { choices, usage } = await client.completions.create({ ...settings, prompt });
      alone.push(...choices.map(({ text }) => text));
      tokens += usage?.prompt_tokens ?? 0;
    }
    const whole = await client.completions.create({ ...settings, prompt: prompts });
    assert.deepEqual(
      whole.choices.map(({ index, text }) => [index, text]),
      alone.map((text, index) => [index, text]),
    );
    assert.equal(whole.usage?.prompt_tokens, tokens);
    assert.equal(whole.usage?.completion_tokens, 6 * alone.length);

    const texts = alone.map(() => '');
    const ended = new Set<number>();
    const stream = await client.completions.create({
      ...settings,
      prompt: prompts,
      echo: true,
      stream: true,
      stream_options: { include_usage: true },
    });
    let usage: OpenAI.CompletionUsage | undefined;
    for await (const chunk of stream) {
      for (const { index, text, finish_reason: reason } of chunk.choices) {
        texts[index] += text;
        if (reason) ended.add(index);
      }
      usage = chunk.usage ?? usage;
    }
    assert.deepEqual(
      texts,
      alone.map((text, index) => `${prompts[Math.floor(index / 2)]}${text}`),
    );
    assert.equal(ended.size, alone.length);
    assert.equal(usage?.prompt_tokens, tokens);

    const ids = [[1, 2, 3], [4]];
    const byTokens = await client.completions.create({ ...settings, n: 1, prompt: ids });
    const second = await client.completions.create({ ...settings, n: 1, prompt: ids[1] ?? [] });
    assert.equal(byTokens.choices[1]?.text, second.choices[0]?.text);
    const long = 'const value = 1;\n'.repeat(3000);
    await assert.rejects(
      client.completions.create({ ...settings, prompt: ['a', long] }),
      /context/,
    );
    await slotsAreFree(server);
  });

  it('makes responses: whole, every event in order, and accumulated', async () => {
    const settings = { model, input: 'Write a loop.', temperature: 0, max_output_tokens: 8 };
    const whole = await client.responses.create(settings);
    assert.equal(whole.status, 'incomplete');
    assert.equal(whole.incomplete_details?.reason, 'max_output_tokens');
    assert.ok(whole.output_text.length > 0);
    assert.equal(whole.usage?.output_tokens, 8);

    const types: string[] = [];
    let number = 0;
    for await (const event of await client.responses.create({ ...settings, stream: true })) {
      assert.equal(event.sequence_number, number++);
      if (types.at(-1) !== event.type) types.push(event.type);
    }
    assert.deepEqual(types, [
      'response.created',
      'response.in_progress',
      'response.output_item.added',
      'response.content_part.added',
      'response.output_text.delta',
      'response.output_text.done',
      'response.content_part.done',
      'response.output_item.done',
      'response.incomplete',
    ]);
    const final = await client.responses.stream(settings).finalResponse();
    assert.equal(final.output_text, whole.output_text);
    assert.equal(final.status, 'incomplete');
  });

  it('reports log-probabilities of responses, whole and streamed', async () => {
    const settings = {
      model,
      input: 'Write a loop.',
      temperature: 0,
      max_output_tokens: 8,
      top_logprobs: 2,
      include: ['message.output_text.logprobs' as const],
    };
    const logprobsOf = ({ output }: OpenAI.Responses.Response) =>
      output.flatMap((item) =>
        item.type === 'message'
          ? item.content.flatMap((part) => (part.type === 'output_text' ? part.logprobs : []))
          : [],
      );
    const whole = logprobsOf(await client.responses.create(settings));
    assert.equal(whole.length, 8);
    const stream = client.responses.stream(settings);
    const deltas: unknown[] = [];
    for await (const event of stream) {
      if (event.type === 'response.output_text.delta') deltas.push(...(event.logprobs ?? []));
    }
    assert.deepEqual(deltas, whole);
    assert.deepEqual(logprobsOf(await stream.finalResponse()), whole);
  });

  it('continues a stored response, reads it again and forgets it', async () => {
    const settings = { model, temperature: 0, max_output_tokens: 6 };
    const first = await client.responses.create({ ...settings, input: 'One.' });
    const second = await client.responses.create({
      ...settings,
      input: 'Two.',
      previous_response_id: first.id,
    });
    const chat = await client.chat.completions.create({
      model,
      temperature: 0,
      max_tokens: 6,
      messages: [
        { role: 'user', content: 'One.' },
        { role: 'assistant', content: first.output_text },
        { role: 'user', content: 'Two.' },
      ],
    });
    assert.equal(second.output_text, chat.choices[0]?.message.content);
    assert.equal(second.usage?.input_tokens, chat.usage?.prompt_tokens);
    const stored = await client.responses.retrieve(second.id);
    assert.equal(stored.output_text, second.output_text);
    const items = await client.responses.inputItems.list(second.id);
    assert.equal(items.data.length, 3);
    await client.responses.delete(second.id);
    await assert.rejects(client.responses.retrieve(second.id), OpenAI.NotFoundError);
    await assert.rejects(
      client.responses.create({ ...settings, input: 'x', previous_response_id: 'resp_none' }),
      (error: APIError) => error.status === 400 && error.code === 'previous_response_not_found',
    );
    const unstored = await client.responses.create({ ...settings, input: 'x', store: false });
    await assert.rejects(client.responses.retrieve(unstored.id), OpenAI.NotFoundError);
  });

  it('tells thought from answer, with a budget', async () => {
    const settings = {
      model: 'thinking',
      messages,
      max_tokens: 60,
      seed: 3,
      temperature: 1,
      reasoning_budget: 6,
    };
    const whole = await client.chat.completions.create(settings);
    const message = whole.choices[0]?.message as { content: string; reasoning_content?: string };
    assert.ok((message.reasoning_content ?? '').length > 0);
    assert.ok(message.content.length > 0);
    assert.ok(!JSON.stringify(message).includes('think>'));
    const reasoning = whole.usage?.completion_tokens_details?.reasoning_tokens ?? 0;
    assert.ok(reasoning >= 6 && reasoning < 60, `${reasoning} tokens of thought`);
    let thought = '';
    let answer = '';
    const stream = await client.chat.completions.create({ ...settings, stream: true });
    for await (const chunk of stream) {
      const delta = chunk.choices[0]?.delta as { content?: string; reasoning_content?: string };
      thought += delta?.reasoning_content ?? '';
      answer += delta?.content ?? '';
    }
    assert.equal(thought, message.reasoning_content);
    assert.equal(answer, message.content);

    const silent = await client.chat.completions.create({
      ...settings,
      reasoning_effort: 'none',
    });
    const plain = silent.choices[0]?.message as { reasoning_content?: string };
    assert.equal(plain.reasoning_content, undefined);

    const types = new Set<string>();
    const stream2 = client.responses.stream({
      model: 'thinking',
      input: 'x',
      max_output_tokens: 60,
      ...{ reasoning_budget: 4, seed: 3 },
    });
    for await (const event of stream2) types.add(event.type);
    assert.ok(types.has('response.reasoning_text.delta'));
    const response = await stream2.finalResponse();
    assert.deepEqual(
      response.output.map(({ type }) => type),
      ['reasoning', 'message'],
    );
  });

  it('lists models, and knows which it does not have', async () => {
    const ids = [];
    for await (const { id } of client.models.list()) ids.push(id);
    assert.deepEqual(ids, ['default', 'thinking']);
    assert.equal((await client.models.retrieve('default')).id, 'default');
    const missing = (error: APIError): boolean =>
      error instanceof OpenAI.NotFoundError && error.code === 'model_not_found';
    await assert.rejects(client.models.retrieve('gpt-none'), missing);
    await assert.rejects(client.chat.completions.create({ ...greedy, model: 'gpt-none' }), missing);
  });

  it('refuses by name what it does not support', async () => {
    const refused = async (extra: object, param: string): Promise<void> => {
      await assert.rejects(
        client.chat.completions.create({ ...greedy, ...extra }) as Promise<unknown>,
        (error: unknown) => {
          assert.ok(error instanceof OpenAI.BadRequestError, String(error));
          assert.equal(error.param, param);
          assert.equal(error.type, 'invalid_request_error');
          return true;
        },
      );
    };
    const image = { type: 'image_url', image_url: { url: 'data:image/png;base64,AAAA' } };
    await refused({ messages: [{ role: 'user', content: [image] }] }, 'messages.0.content.0');
    await refused({ temperature: 3 }, 'temperature');
    await refused({ surprise: true }, 'surprise');
    await refused({ n: 64 }, 'n');
    await refused({ audio: { voice: 'x', format: 'mp3' } }, 'audio');
    await refused({ functions: [] }, 'functions');
    await refused({ stop: '' }, 'stop');
    await refused({ stream_options: { include_usage: true } }, 'stream_options');
    await refused({ top_logprobs: 2 }, 'top_logprobs');
    await refused({ messages: [{ role: 'wizard', content: 'x' }] }, 'messages.0.role');
    await refused({ tool_choice: 'required' }, 'tool_choice');
    await assert.rejects(
      client.post('/rerank', { body: { model, query: 'x', documents: ['y'] } }),
      (error: APIError) => error.status === 501 && error.param === 'model',
    );
  });

  it('embeds texts and tokens, as floats and as base64', async () => {
    const input = ['const x = 1;', 'let y'];
    // The client asks for base64 and decodes it where nobody says what is wanted.
    const decoded = await client.embeddings.create({ model, input });
    const floats = await client.embeddings.create({ model, input, encoding_format: 'float' });
    assert.deepEqual(decoded.data, floats.data);
    assert.deepEqual(
      floats.data.map(({ index }) => index),
      [0, 1],
    );
    const [first] = floats.data[0]?.embedding ?? [];
    assert.equal(typeof first, 'number');
    const alone = await client.embeddings.create({ model, input: 'let y' });
    assert.deepEqual(alone.data[0]?.embedding, decoded.data[1]?.embedding);
    assert.ok(floats.usage.prompt_tokens > alone.usage.prompt_tokens);
    const cut = await client.embeddings.create({ model, input: [5, 6], dimensions: 4 });
    const squares = cut.data[0]?.embedding.map((value) => value * value) ?? [];
    assert.equal(squares.length, 4);
    assert.ok(Math.abs(squares.reduce((a, b) => a + b) - 1) < 1e-5);
    await assert.rejects(
      client.embeddings.create({ model, input: 'x', dimensions: 1e6 }),
      (error: APIError) => error.status === 400 && error.param === 'dimensions',
    );
    await assert.rejects(
      client.embeddings.create({ model, input: 'const value = 1;\n'.repeat(3000) }),
      (error: APIError) => error.code === 'context_length_exceeded',
    );
  });

  it('says both counts when the prompt is longer than the context', async () => {
    const content = 'const value = 1;\n'.repeat(1000);
    await assert.rejects(
      client.chat.completions.create({ ...greedy, messages: [{ role: 'user', content }] }),
      (error: unknown) => {
        assert.ok(error instanceof OpenAI.BadRequestError);
        assert.equal(error.code, 'context_length_exceeded');
        assert.match(error.message, /2048 tokens.*\d{4,} tokens/s);
        return true;
      },
    );
  });

  it('takes malformed arguments of an earlier tool call, and null where nothing was said', async () => {
    const call = {
      id: 'c',
      type: 'function' as const,
      function: { name: 'f', arguments: '{"a":' },
    };
    for (const name of ['default', 'thinking']) {
      const { choices } = await client.chat.completions.create({
        ...greedy,
        model: name,
        messages: [
          ...messages,
          { role: 'assistant', content: null, tool_calls: [call] },
          { role: 'tool', tool_call_id: 'c', content: 'no' },
        ],
      });
      assert.equal(choices.length, 1);
    }
  });

  it('writes a conversation in a form that a strict template takes', async () => {
    const strict = { ...greedy, model: 'thinking' };
    const { choices } = await client.chat.completions.create({
      ...strict,
      messages: [
        { role: 'system', content: 'a' },
        { role: 'user', content: 'b' },
        { role: 'system', content: 'late' },
        { role: 'user', content: 'c' },
      ],
    });
    assert.equal(choices.length, 1);
  });

  it('frees the slot of a client that goes, and keeps what was computed', async () => {
    const controller = new AbortController();
    const stream = await client.chat.completions.create(
      { ...greedy, max_tokens: 1500, logit_bias: {}, stream: true },
      { signal: controller.signal },
    );
    for await (const { choices } of stream) {
      if (!choices[0]?.delta.content) continue;
      controller.abort();
      break;
    }
    await slotsAreFree(server);
    const again = await client.chat.completions.create(greedy);
    assert.ok((again.usage?.prompt_tokens_details?.cached_tokens ?? 0) > 0);
  });
});
