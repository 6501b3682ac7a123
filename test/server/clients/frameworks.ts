/** The AI SDK and LangChain against a server on loopback: what they check is more than the clients do. */
import assert from 'node:assert/strict';
import { before, describe } from 'node:test';
import { createAnthropic } from '@ai-sdk/anthropic';
import { createOpenAI } from '@ai-sdk/openai';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { ChatOpenAI } from '@langchain/openai';
import { embedMany, generateText, type LanguageModel, streamText } from 'ai';
import type { TestServer } from '../support.js';
import { clientServer, it, slotsAreFree } from './server.js';

const prompt = 'Write a loop in TypeScript.';

describe('frameworks', () => {
  let server: TestServer;
  let models: Readonly<Record<string, (id: string) => LanguageModel>>;
  before(async () => {
    server = await clientServer();
    const baseURL = `${server.url}/v1`;
    const openai = createOpenAI({ baseURL, apiKey: 'none' });
    models = {
      'openai chat': (id) => openai.chat(id),
      'openai responses': (id) => openai.responses(id),
      compatible: createOpenAICompatible({ name: 'paceline', baseURL, includeUsage: true }),
      anthropic: createAnthropic({ baseURL, apiKey: 'none' }),
    };
  });

  for (const name of ['openai chat', 'openai responses', 'compatible', 'anthropic']) {
    it(`ai with ${name}: text, stream, usage and reason agree`, async () => {
      const model = models[name]?.('default') as LanguageModel;
      const settings = { model, prompt, temperature: 0, maxOutputTokens: 10, maxRetries: 0 };
      const whole = await generateText(settings);
      assert.ok(whole.text.length > 0);
      assert.equal(whole.finishReason, 'length');
      assert.equal(whole.usage.outputTokens, 10);
      const errors: unknown[] = [];
      const stream = streamText({ ...settings, onError: ({ error }) => void errors.push(error) });
      let text = '';
      for await (const piece of stream.textStream) text += piece;
      assert.deepEqual(errors, []);
      assert.equal(text, whole.text);
      assert.equal(await stream.finishReason, 'length');
      assert.equal((await stream.usage).outputTokens, 10);
      assert.equal((await stream.usage).inputTokens, whole.usage.inputTokens);
    });

    it(`ai with ${name}: an unknown model is an error of the API`, async () => {
      const model = models[name]?.('none') as LanguageModel;
      await assert.rejects(generateText({ model, prompt, maxRetries: 0 }), /There is no model/);
    });

    it(`ai with ${name}: an abort frees the slot`, async () => {
      const abort = new AbortController();
      const model = models[name]?.('default') as LanguageModel;
      const stream = streamText({
        model,
        prompt,
        maxOutputTokens: 1500,
        abortSignal: abort.signal,
        maxRetries: 0,
      });
      for await (const part of stream.fullStream) if (part.type === 'text-delta') abort.abort();
      await slotsAreFree(server);
    });
  }

  it('ai embeds many texts', async () => {
    const baseURL = `${server.url}/v1`;
    const values = ['const x = 1;', 'let y'];
    const vectors = await Promise.all(
      [
        createOpenAI({ baseURL, apiKey: 'none' }).embeddingModel('default'),
        createOpenAICompatible({ name: 'paceline', baseURL }).embeddingModel('default'),
      ].map(async (model) => (await embedMany({ model, values, maxRetries: 0 })).embeddings),
    );
    assert.deepEqual(vectors[0], vectors[1]);
    assert.equal(vectors[0]?.length, 2);
    assert.notDeepEqual(vectors[0]?.[0], vectors[0]?.[1]);
  });

  it('langchain: an abort frees the slot', async () => {
    const chat = new ChatOpenAI({
      model: 'default',
      apiKey: 'none',
      maxTokens: 1500,
      maxRetries: 0,
      configuration: { baseURL: `${server.url}/v1` },
    });
    const abort = new AbortController();
    await assert.rejects(async () => {
      for await (const _ of await chat.stream(prompt, { signal: abort.signal })) abort.abort();
      abort.signal.throwIfAborted();
    });
    await slotsAreFree(server);
  });

  it('ai with compatible: thought comes as reasoning', async () => {
    const model = models.compatible?.('thinking') as LanguageModel;
    const { reasoningText } = await generateText({ model, prompt, maxOutputTokens: 8, seed: 2 });
    assert.ok((reasoningText ?? '').length > 0);
  });

  it('ai with anthropic: thought comes as reasoning', async () => {
    const model = models.anthropic?.('thinking') as LanguageModel;
    const { reasoningText } = await generateText({
      model,
      prompt,
      maxOutputTokens: 40,
      providerOptions: { anthropic: { thinking: { type: 'enabled', budgetTokens: 1024 } } },
    });
    assert.ok((reasoningText ?? '').length > 0);
  });

  for (const useResponsesApi of [false, true]) {
    it(`langchain over ${useResponsesApi ? 'responses' : 'chat completions'}`, async () => {
      const chat = new ChatOpenAI({
        model: 'default',
        apiKey: 'none',
        temperature: 0,
        maxTokens: 10,
        maxRetries: 0,
        useResponsesApi,
        configuration: { baseURL: `${server.url}/v1` },
      });
      const whole = await chat.invoke(prompt);
      assert.ok(whole.text.length > 0);
      assert.equal(outputTokens(whole), 10);
      let text = '';
      let tokens = 0;
      for await (const chunk of await chat.stream(prompt)) {
        text += chunk.text;
        tokens += outputTokens(chunk);
      }
      assert.equal(text, whole.text);
      assert.equal(tokens, 10);
    });
  }
});

function outputTokens(message: object): number {
  const { usage_metadata: usage } = message as { usage_metadata?: { output_tokens: number } };
  return usage?.output_tokens ?? 0;
}
