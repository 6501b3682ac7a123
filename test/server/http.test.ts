/** The server as HTTP: who may use it, limits, the queue, health, drains, sockets. */
import assert from 'node:assert/strict';
import { request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import { Readable } from 'node:stream';
import { after, before, describe, it } from 'node:test';
import OpenAI from 'openai';
import type { Log } from '../../src/server/http/log.js';
import { serve } from '../../src/server/serve.js';
import { temporaryFile } from '../support/tiny-model.js';
import {
  engineProgram,
  eventually,
  type Json,
  post,
  startServer,
  type TestServer,
  thinkingModel,
} from './support.js';

const body = { model: 'default', prompt: 'export ', max_tokens: 2, temperature: 0 };
const long = { ...body, max_tokens: 1500, stream: true };

/** A request that `fetch` would not let us make: any header, over TCP or a UNIX socket. */
function raw(options: {
  readonly port?: number | undefined;
  readonly socketPath?: string;
  readonly path?: string;
  readonly headers?: Readonly<Record<string, string>>;
}): Promise<{ status: number; text: string; headers: NodeJS.Dict<string | string[]> }> {
  return new Promise((resolve, reject) => {
    const asked = httpRequest({ host: '127.0.0.1', path: '/v1/models', ...options }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, text, headers: response.headers }),
      );
    });
    asked.on('error', reject);
    asked.end();
  });
}

describe('access', () => {
  it('needs a key beyond loopback, before anything is loaded', async () => {
    await assert.rejects(serve({ models: ['default'], host: '0.0.0.0', log: 'none' }), {
      code: 'usage',
      message: /needs an API key/,
    });
  });

  it('asks for a key, and for an origin on the list', async () => {
    const server = await startServer({ apiKeys: ['one', 'two'], cors: ['https://good.example'] });
    try {
      const client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: 'wrong', maxRetries: 0 });
      await assert.rejects(client.models.list(), OpenAI.AuthenticationError);
      const known = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: 'two', maxRetries: 0 });
      assert.equal((await known.models.list()).data.length, 1);
      assert.equal((await fetch(`${server.url}/health`)).status, 200);
      const headers = { authorization: 'Bearer one' };
      const bad = await raw({
        port: server.port,
        headers: { ...headers, origin: 'https://evil.example' },
      });
      assert.equal(bad.status, 403);
      assert.equal(bad.headers['access-control-allow-origin'], undefined);
      const origin = 'https://good.example';
      const good = await raw({ port: server.port, headers: { ...headers, origin } });
      assert.equal(good.status, 200);
      assert.equal(good.headers['access-control-allow-origin'], origin);
      const preflight = await fetch(`${server.url}/v1/chat/completions`, {
        method: 'OPTIONS',
        headers: { origin, 'access-control-request-method': 'POST' },
      });
      assert.equal(preflight.status, 204);
      assert.equal(preflight.headers.get('access-control-allow-origin'), origin);
    } finally {
      await server.close();
    }
  });

  it('listens on a UNIX socket, and takes the place of a dead one', async () => {
    const socket = temporaryFile('server.sock');
    for (let round = 0; round < 2; round++) {
      const server = await startServer({ socket });
      try {
        assert.equal((await raw({ socketPath: socket })).status, 200);
        await assert.rejects(serve({ models: ['default'], socket, log: 'none', engineProgram }), {
          code: 'usage',
        });
      } finally {
        await server.close();
      }
    }
  });
});

describe('requests', () => {
  let server: TestServer;
  const lines: string[] = [];
  before(async () => {
    const log: Log = (level, text, fields) =>
      void lines.push(`${level} ${text} ${JSON.stringify(fields)}`);
    server = await startServer({ slots: 1, queue: 1, bodyLimit: 2000, log });
  });
  after(() => server.close());

  it('name the tools where a schema of theirs makes no sense', async () => {
    const parameters = { type: 'banana' };
    const refused = await post(server, '/v1/chat/completions', {
      ...{ model: 'default', messages: [{ role: 'user', content: 'x' }], max_tokens: 1 },
      tools: [{ type: 'function', function: { name: 'f', strict: true, parameters } }],
    });
    assert.equal(refused.status, 400);
    assert.equal(String(refused.json.error?.param), 'tools');
  });

  it('are refused with a message where they are none yet', async () => {
    const long = await raw({ port: server.port, headers: { 'x-long': 'a'.repeat(40_000) } });
    assert.equal(long.status, 431);
    assert.match(JSON.parse(long.text).error.message, /more than 32768 bytes/);
    const socket = connect(server.port ?? 0, '127.0.0.1', () => socket.end('hello\r\n\r\n'));
    const text = await new Response(Readable.toWeb(socket) as ReadableStream).text();
    assert.match(text, /^HTTP\/1\.1 400 [\s\S]*This is no HTTP/);
  });

  it('are refused for their host, size, depth and form, each in the shape of its dialect', async () => {
    const host = { host: `evil.example:${server.port}` };
    const rebound = await raw({ port: server.port, headers: host });
    assert.equal(rebound.status, 403);
    const large = await post(server, '/v1/completions', { ...body, prompt: 'x'.repeat(3000) });
    assert.equal(large.status, 413);
    assert.match(String(large.json.error?.message), /more than 2000 bytes/);
    const broken = await post(server, '/v1/messages', '{"model": ');
    assert.equal(broken.status, 400);
    assert.equal(broken.json.error?.type, 'invalid_request_error');
    const deep = await post(server, '/api/chat', `${'['.repeat(500)}${']'.repeat(500)}`);
    assert.equal(deep.status, 400);
    assert.match(String(deep.json.error), /nested deeper/);
    const missing = await fetch(`${server.url}/v2/nothing`);
    assert.equal(missing.status, 404);
    assert.match(await missing.text(), /openapi\.json/);
    const method = await fetch(`${server.url}/v1/completions`);
    assert.equal(method.status, 405);
    assert.equal(method.headers.get('allow'), 'POST');
    for (const [given, pattern] of [
      [{ prompt: 'x' }, /model is missing.*default/],
      ['', /body is empty/],
      ["'{}'", /double quotes/],
      [{ ...body, prompt: ['a', 1] }, /^prompt\.1: .*expected string/],
      [{ ...body, prompt: {} }, /prompt.*of one kind/],
    ] as const) {
      const { status, json } = await post(server, '/v1/completions', given);
      assert.equal(status, 400);
      assert.match(String(json.error?.message), pattern);
    }
  });

  it('carry an id, the own one where it is one', async () => {
    const own = await post(server, '/v1/completions', body, {
      headers: { 'x-request-id': 'trace-1' },
    });
    assert.equal(own.headers.get('x-request-id'), 'trace-1');
    const odd = await post(server, '/v1/completions', body, {
      headers: { 'x-request-id': 'a b<script>' },
    });
    assert.match(odd.headers.get('x-request-id') ?? '', /^req_[0-9a-f]{32}$/);
  });

  it('wait in a queue with an end, and are told when to come back', async () => {
    const abort = new AbortController();
    const running = post(server, '/v1/completions', long, { signal: abort.signal });
    await eventually(() => server.engine.slotsTaken === 1, 'the first runs');
    const waiting = post(server, '/v1/completions', body);
    await eventually(() => server.engine.waiting === 1, 'the second waits');
    const refused = await post(server, '/v1/completions', body);
    assert.equal(refused.status, 429);
    assert.ok(Number(refused.headers.get('retry-after')) >= 1);
    assert.equal(refused.json.error?.code, 'rate_limit_exceeded');
    abort.abort();
    await assert.rejects(running);
    assert.equal((await waiting).status, 200);
  });

  it('are counted, and logged without what they say', async () => {
    const read = async (): Promise<(name: string) => number> => {
      const metrics = await (await fetch(`${server.url}/metrics`)).text();
      return (name) => Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(metrics)?.[1] ?? 0);
    };
    const before = await read();
    await post(server, '/v1/completions', body);
    await post(server, '/v1/completions', { ...body, temperature: -1 });
    const after = await read();
    const value = (name: string): number => after(name) - before(name);
    assert.equal(value('paceline_requests_total\\{route="/v1/completions",status="200"\\}'), 1);
    assert.equal(value('paceline_requests_total\\{route="/v1/completions",status="400"\\}'), 1);
    assert.equal(value('paceline_generated_tokens_total'), 2);
    assert.ok(value('paceline_prompt_tokens_total') > 0);
    assert.equal(value('paceline_time_to_first_token_seconds_count'), 1);
    assert.ok(after('paceline_engine_memory_bytes') > 1e6);
    assert.equal(after('paceline_models_loaded'), 1);
    assert.ok(lines.some((line) => line.startsWith('info text {')));
    assert.ok(lines.some((line) => line.startsWith('info POST /v1/completions 400')));
    assert.ok(!lines.join('\n').includes('export '), 'a prompt is in the log');
  });

  it('are logged where their prefix differs, without the words', async () => {
    const prompt = 'const shared = "the same beginning of two prompts";\n'.repeat(4);
    await post(server, '/v1/completions', { ...body, prompt: `${prompt}first` });
    lines.length = 0;
    await post(server, '/v1/completions', { ...body, prompt: `${prompt}other` });
    const miss = lines.find((line) => line.startsWith('info prefix differs')) ?? '';
    const { same_bytes: same, ...rest } = JSON.parse(miss.slice(miss.indexOf('{'))) as Json;
    assert.equal(Number(same), prompt.length);
    assert.deepEqual(Object.keys(rest), ['id', 'same_tokens']);
  });

  it('find a description of all routes', async () => {
    const description = (await (await fetch(`${server.url}/openapi.json`)).json()) as {
      openapi: string;
      paths: Record<string, { post?: { requestBody?: object } }>;
    };
    assert.equal(description.openapi, '3.1.0');
    for (const path of ['/v1/chat/completions', '/v1/responses', '/v1/messages', '/api/chat']) {
      const schema = JSON.stringify(description.paths[path]?.post?.requestBody);
      assert.match(schema, /"model"/, path);
    }
  });

  it('may finish when the server is told to stop, and no more are taken', async () => {
    const running = post(server, '/v1/completions', { ...long, max_tokens: 60 });
    await eventually(() => server.engine.slotsTaken === 1, 'it runs');
    const closed = server.close();
    const { text, status } = await running;
    assert.equal(status, 200);
    assert.match(text, /data: \[DONE\]/);
    await closed;
    await assert.rejects(fetch(`${server.url}/health`));
  });
});

describe('the life of a server', () => {
  it('says 503 while it loads, and clients that try again are served', async () => {
    const server = await serve({ models: ['default'], port: 0, log: 'none', engineProgram });
    try {
      const health = await fetch(`${server.address}/health`);
      assert.equal(health.status, 503);
      assert.equal(health.headers.get('retry-after'), '1');
      assert.equal(((await health.json()) as { status: string }).status, 'loading');
      const client = new OpenAI({ baseURL: `${server.address}/v1`, apiKey: 'x', maxRetries: 40 });
      const { choices } = await client.completions.create(body);
      assert.equal(choices.length, 1);
      await server.ready;
      assert.equal((await fetch(`${server.address}/health`)).status, 200);
    } finally {
      await server.close();
    }
  });

  it('cuts what does not finish in time, and still ends in order', async () => {
    const server = await startServer();
    const running = post(server, '/v1/completions', long);
    running.catch(() => {});
    await eventually(() => server.engine.slotsTaken === 1, 'it runs');
    await server.close(50);
    await assert.rejects(running);
    assert.equal(server.engine.state, 'stopped');
  });

  it('loads models when they are asked for, and keeps no more than it may', async () => {
    const server = await startServer({ models: ['default', await thinkingModel()], maxModels: 1 });
    try {
      const other = { ...body, model: 'thinking' };
      const full = await post(server, '/v1/completions', other);
      assert.equal(full.status, 429);
      assert.match(String(full.json.error?.message), /max-models/);
      const states = server.engine.status.models.map(({ id, state }) => `${id} ${state}`);
      assert.deepEqual(states, ['default ready', 'thinking unloaded']);
    } finally {
      await server.close();
    }
    const roomy = await startServer({
      models: ['default', await thinkingModel()],
      maxModels: 2,
      unloadAfterMs: 100,
    });
    try {
      const answer = await post(roomy, '/v1/completions', { ...body, model: 'thinking' });
      assert.equal(answer.status, 200, answer.text);
      const state = (): string | undefined => roomy.engine.status.models[1]?.state;
      await eventually(() => state() === 'ready', 'it is loaded');
      await eventually(() => state() === 'unloaded', 'it is unloaded again');
    } finally {
      await roomy.close();
    }
  });
});
