/** What each client makes of failures: its own classes, its own retries, also in the middle of a stream. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import Anthropic from '@anthropic-ai/sdk';
import { Ollama } from 'ollama';
import OpenAI, { type APIError } from 'openai';
import { serve } from '../../../src/server/serve.js';
import { engineProgram, eventually, startServer, type TestServer } from '../support.js';

const messages = [{ role: 'user' as const, content: 'Write a loop in TypeScript.' }];
const long = { model: 'default', messages, max_tokens: 1500, temperature: 1, seed: 1 };

const clientsOf = ({ url }: { readonly url: string }, apiKey = 'none') => ({
  openai: new OpenAI({ baseURL: `${url}/v1`, apiKey, maxRetries: 0 }),
  anthropic: new Anthropic({ baseURL: url, apiKey, maxRetries: 0 }),
  ollama: new Ollama({ host: url, headers: { authorization: `Bearer ${apiKey}` } }),
});

describe('failures as clients see them', () => {
  it('a wrong key is an error of authentication, a right one of several is not', async () => {
    const server = await startServer({ apiKeys: ['first', 'second'] });
    try {
      const wrong = clientsOf(server, 'third');
      await assert.rejects(
        wrong.openai.models.list(),
        (error: APIError) =>
          error instanceof OpenAI.AuthenticationError && error.code === 'invalid_api_key',
      );
      await assert.rejects(wrong.anthropic.messages.create(long), Anthropic.AuthenticationError);
      await assert.rejects(wrong.ollama.list(), /API key is wrong/);
      for (const key of ['first', 'second']) {
        const right = clientsOf(server, key);
        assert.equal((await right.openai.models.list()).data.length, 1);
        assert.equal((await right.ollama.list()).models.length, 1);
        const count = { model: 'default', messages };
        assert.ok((await right.anthropic.messages.countTokens(count)).input_tokens > 0);
      }
    } finally {
      await server.close();
    }
  });

  it('a full queue is a limit of the rate, which clients try again', async () => {
    const server = await startServer({ slots: 1, queue: 0 });
    try {
      const { openai, anthropic, ollama } = clientsOf(server);
      const abort = new AbortController();
      const { signal } = abort;
      const running = openai.chat.completions.create(long, { signal }).catch(() => {});
      await eventually(() => server.engine.slotsTaken === 1, 'the first request runs');
      await assert.rejects(
        openai.chat.completions.create(long),
        (error: APIError) =>
          error instanceof OpenAI.RateLimitError && error.code === 'rate_limit_exceeded',
      );
      await assert.rejects(anthropic.messages.create(long), Anthropic.RateLimitError);
      await assert.rejects(ollama.chat({ model: 'default', messages }), /waiting already/);
      const patient = openai.chat.completions.create({ ...long, max_tokens: 2 }, { maxRetries: 5 });
      abort.abort();
      await running;
      assert.equal((await patient).usage?.completion_tokens, 2);
    } finally {
      await server.close();
    }
  });

  it('a model that is being loaded is asked again, and writes its text once', async () => {
    const running = await serve({
      models: ['default'],
      port: 0,
      log: 'none',
      engineProgram,
      load: { threads: 1 },
    });
    const server: TestServer = { ...running, url: running.address };
    try {
      const statuses: number[] = [];
      const openai = new OpenAI({
        baseURL: `${server.url}/v1`,
        apiKey: 'none',
        maxRetries: 60,
        fetch: async (url, init) => {
          const response = await fetch(url, init);
          statuses.push(response.status);
          if (response.status === 503) assert.ok(response.headers.get('retry-after'));
          return response;
        },
      });
      const { usage } = await openai.chat.completions.create({ ...long, max_tokens: 2 });
      assert.equal(usage?.completion_tokens, 2);
      assert.equal(statuses[0], 503);
      assert.equal(statuses.filter((status) => status === 200).length, 1);
    } finally {
      await server.close();
    }
  });

  it('an engine that dies in the middle of a stream is an error of each client', async () => {
    const server = await startServer({ slots: 4 });
    try {
      const { openai, anthropic, ollama } = clientsOf(server);
      const kill = (): void => void process.kill(server.engine.processId ?? 0, 'SIGKILL');
      const dies = async (text: AsyncIterable<unknown>): Promise<void> => {
        let pieces = 0;
        for await (const _ of text) if (++pieces === 3) kill();
      };
      const chat = await openai.chat.completions.create({ ...long, stream: true });
      await assert.rejects(dies(chat), /engine stopped/);
      await eventually(() => server.engine.state === 'ready', 'the engine is back');
      const message = await anthropic.messages.create({ ...long, stream: true });
      await assert.rejects(dies(message), /engine stopped/);
      await eventually(() => server.engine.state === 'ready', 'the engine is back');
      const response = openai.responses.stream({
        model: 'default',
        input: 'Write a loop.',
        max_output_tokens: 1500,
      });
      let pieces = 0;
      response.on('response.output_text.delta', () => {
        if (++pieces === 2) kill();
      });
      // Major 6 of the client throws the event as it is.
      await assert.rejects(response.finalResponse(), (error) =>
        /engine stopped/.test(`${error} ${JSON.stringify(error)}`),
      );
      await eventually(() => server.engine.state === 'ready', 'the engine is back');
      const told = await ollama.chat({ model: 'default', messages, stream: true });
      await assert.rejects(dies(told), /engine stopped/);
    } finally {
      await server.close();
    }
  });
});
