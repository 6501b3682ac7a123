import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { type ComparedEngine, compareEngines } from '../../src/backends/compare.js';
import type { BackendEngine } from '../../src/backends/engine.js';
import type { TokenProbability } from '../../src/chat/events.js';
import { ServedEngines, type SharingPolicy } from '../../src/server/engines.js';
import { serve } from '../../src/server/serve.js';
import type { EngineSupervisor } from '../../src/server/supervisor/supervisor.js';
import { eventually, post, sseData } from '../server/support.js';
import { type FakeOptions, fakeWords } from './fake-upstream.js';
import { chatRequest, fakeEngine, never } from './support.js';

const whole = fakeWords.join('');

async function served(t: TestContext, fakes: readonly FakeOptions[]) {
  const { engine, upstreams } = await fakeEngine(t, fakes);
  const server = await serve({ models: [], backends: engine, port: 0, log: 'none' });
  await server.ready;
  t.after(() => server.close(0));
  return { url: server.address, upstreams };
}

const messages = [{ role: 'user', content: 'Count' }];

describe('a server in front of another engine', () => {
  it('answers in every dialect, with counts that come at the end', async (t) => {
    const server = await served(t, [{}]);
    const chat = await post(server, '/v1/chat/completions', { model: 'fake', messages });
    assert.equal(chat.json.choices?.[0]?.message?.content, whole);
    assert.equal(chat.json.usage?.prompt_tokens, 7);
    assert.equal(chat.json.usage?.completion_tokens, fakeWords.length);
    assert.match(String(chat.json.engine), /^openai 127\.0\.0\.1:/);
    const anthropic = await post(server, '/v1/messages', {
      model: 'fake',
      max_tokens: 3,
      messages,
      stream: true,
    });
    const said = sseData(anthropic.text);
    assert.equal(said.at(-1)?.type, 'message_stop');
    assert.equal(said.at(-2)?.usage?.input_tokens, 7);
    const ollama = await post(server, '/api/chat', { model: 'fake', messages, stream: false });
    assert.equal(ollama.json.message?.content, whole);
    assert.equal(ollama.json.prompt_eval_count, 7);
    const response = await post(server, '/v1/responses', { model: 'fake', input: 'Count' });
    assert.equal(response.json.usage?.input_tokens, 7);
    const counted = await post(server, '/v1/messages/count_tokens', { model: 'fake', messages });
    assert.equal(counted.json.input_tokens, 7);
  });

  it('loads a model of another engine without a text, which engines refuse to read', async (t) => {
    const { url, upstreams } = await served(t, [{}]);
    const { json } = await post({ url }, '/api/generate', { model: 'fake', prompt: '' });
    assert.equal(json.done_reason, 'load');
    assert.equal(upstreams[0]?.requests.length, 0);
  });

  it('ends a stream whose engine dies with an error', async (t) => {
    const server = await served(t, [{ behave: () => ({ type: 'drop', words: 2 }) }]);
    const { status, text } = await post(server, '/v1/chat/completions', {
      model: 'fake',
      messages,
      stream: true,
    });
    assert.equal(status, 200);
    const said = sseData(text);
    assert.match(String(said.at(-1)?.error?.message), /the connection broke/);
    assert.doesNotMatch(text, /\[DONE\]/);
  });

  it('lists what upstreams have, and says in health and metrics how they are', async (t) => {
    const { url, upstreams } = await served(t, [{}]);
    const get = async (path: string) => {
      const response = await fetch(url + path);
      return { status: response.status, text: await response.text() };
    };
    const models = JSON.parse((await get('/v1/models')).text) as {
      data: { id: string; backend: string }[];
    };
    assert.deepEqual(
      models.data.map(({ id, backend }) => [id, backend]),
      [['fake', 'openai']],
    );
    assert.equal(
      (await post({ url }, '/v1/chat/completions', { model: 'x', messages })).status,
      404,
    );
    const status = JSON.parse((await get('/paceline/v1/status')).text) as { upstreams: unknown[] };
    assert.equal(status.upstreams.length, 1);
    assert.match((await get('/metrics')).text, /paceline_backend_up\{backend="openai",[^}]+\} 1\n/);
    assert.equal((await get('/health')).status, 200);
    await upstreams[0]?.kill();
    let last = 200;
    for (let round = 0; last === 200 && round < 200; round++) {
      last = (await get('/health')).status;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    assert.equal(last, 503);
    assert.match((await get('/metrics')).text, /paceline_backend_up\{[^}]+\} 0\n/);
  });

  it('keeps no request when the server closes', async (t) => {
    const { engine } = await fakeEngine(t, [{ behave: () => ({ type: 'stall', words: 1 }) }]);
    const server = await serve({ models: [], backends: engine, port: 0, log: 'none' });
    await server.ready;
    const body = { model: 'fake', messages, stream: true };
    const running = post({ url: server.address }, '/v1/chat/completions', body).catch(() => {});
    await eventually(() => engine.busy === 1, 'a request that runs');
    await server.close(0);
    await running;
    await eventually(() => engine.busy === 0, 'its end');
  });
});

describe('models that both sides have', () => {
  const side = (options: { readonly up: boolean; readonly queue: number | undefined }) => ({
    state: options.up ? 'ready' : 'restarting',
    has: () => true,
    isAvailable: () => options.up,
    queueFor: () => options.queue,
  });

  function chosen(
    own: ReturnType<typeof side>,
    others: ReturnType<typeof side>,
    policy: SharingPolicy,
  ): string {
    let found = '';
    const run = (name: string) => ({
      run: () => {
        found = name;
        return { next: async () => {} };
      },
    });
    const engines = new ServedEngines({
      own: { ...own, ...run('own') } as unknown as EngineSupervisor,
      others: { ...others, ...run('others') } as unknown as BackendEngine,
      isOwn: () => true,
      ...policy,
    });
    void engines.run(chatRequest(), { signal: never }).next();
    return found;
  }

  it('go to the preferred side, and to the other when that is busy or gone', () => {
    const idle = side({ up: true, queue: undefined });
    const queued = side({ up: true, queue: 3 });
    const gone = side({ up: false, queue: undefined });
    assert.equal(chosen(idle, idle, {}), 'own');
    assert.equal(chosen(idle, idle, { prefer: 'upstream' }), 'others');
    assert.equal(chosen(queued, idle, {}), 'others');
    assert.equal(chosen(queued, idle, { spillAfter: 4 }), 'own');
    assert.equal(chosen(queued, gone, {}), 'own');
    assert.equal(chosen(gone, idle, { spillAfter: 4 }), 'others');
    assert.equal(chosen(idle, queued, { prefer: 'upstream', spillAfter: 3 }), 'own');
    assert.equal(chosen(idle, gone, { prefer: 'upstream' }), 'own');
  });
});

describe('the comparison of two engines', () => {
  const token = (text: string, logprob: number, other: string, less: number): TokenProbability => {
    const bytes: number[] = [];
    return {
      ...{ text, logprob, bytes },
      top: [
        { text, logprob, bytes },
        { text: other, logprob: less, bytes },
      ],
    };
  };
  const engine = (name: string, tokens: readonly TokenProbability[]): ComparedEngine => ({
    name,
    greedy: async () => ({ text: tokens.map(({ text }) => text).join(''), tokens }),
  });
  const compare = (a: readonly TokenProbability[], b: readonly TokenProbability[]) =>
    compareEngines({
      engines: [engine('a', a), engine('b', b)],
      prompts: ['p'],
      maxTokens: 2,
      tolerance: 0.1,
      signal: never,
    });

  it('tells near-ties from other differences', async () => {
    const first = token('x', -0.1, 'y', -3);
    const same = await compare([first], [token('x', -0.15, 'y', -3)]);
    assert.equal(same.identical, 1);
    assert.ok(Math.abs((same.logprobs?.max ?? 0) - 0.05) < 1e-9);
    const tie = await compare(
      [first, token('a', -0.7, 'b', -0.72)],
      [first, token('b', -0.69, 'a', -0.71)],
    );
    assert.equal(tie.passed, true);
    assert.equal(tie.nearTies, 1);
    assert.equal(tie.differences[0]?.position, 1);
    const apart = await compare([token('a', -0.1, 'b', -4)], [token('b', -0.2, 'a', -4)]);
    assert.equal(apart.passed, false);
    assert.deepEqual(apart.differences[0]?.said, ['a', 'b']);
  });
});
