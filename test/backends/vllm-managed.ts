/**
 * `paceline serve --backend vllm`: vLLM started, watched and ended by our server, which is a process of its
 * own here as it is a user's. Its core is killed under streams of every dialect, and the server at the end.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, describe, test } from 'node:test';
import { repository } from '../support/repository.js';
import { vllmCheckpoint } from './vllm-checkpoint.js';
import { groupOf, processNamed, smallVllm, until } from './vllm-process.js';

const slots = 4;
const startLimitMs = 6 * 60_000;

/** A server that started vLLM for a model. */
class ManagedServer {
  readonly child: ChildProcess;
  readonly model: string;
  url = '';

  constructor(folder: string) {
    this.model = folder.split('/').at(-1) ?? '';
    const { PACELINE_TEST_VLLM_DATA } = process.env;
    assert.ok(PACELINE_TEST_VLLM_DATA, 'PACELINE_TEST_VLLM_DATA is unset: npm run test:vllm');
    const flags = ['--port', '0', '--json', '--slots', String(slots), '--ctx', '2048'];
    // As users write folders, with a slash at the end.
    const args = ['serve', '--backend', 'vllm', '--model', `${folder}/`, ...flags];
    this.child = spawn(process.execPath, [join(repository, 'dist/src/cli/main.js'), ...args], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, ...smallVllm, XDG_DATA_HOME: PACELINE_TEST_VLLM_DATA },
    });
    process.once('exit', () => this.child.kill('SIGKILL'));
  }

  /** Waits until it serves. */
  async ready(): Promise<void> {
    const [line] = (await once(createInterface({ input: this.child.stdout as never }), 'line', {
      signal: AbortSignal.timeout(startLimitMs),
    })) as [string];
    this.url = (JSON.parse(line) as { readonly address: string }).address;
  }

  /** The process group of its vLLM. */
  get groups(): readonly number[] {
    const found = processNamed('vllm.entrypoints', this.model);
    return [...new Set(found.map(({ group }) => group))];
  }

  async upstream(): Promise<{ readonly state: string; readonly restarts: number }> {
    const answer = await fetch(`${this.url}/paceline/v1/status`);
    const { upstreams } = (await answer.json()) as {
      readonly upstreams: readonly { readonly state: string; readonly restarts: number }[];
    };
    assert.ok(upstreams[0] !== undefined);
    return upstreams[0];
  }

  post(path: string, body: object): Promise<Response> {
    return fetch(this.url + path, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model: this.model, ...body }),
    });
  }

  async end(signal: NodeJS.Signals): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const ended = once(this.child, 'exit');
    this.child.kill(signal);
    await ended;
  }
}

const messages = (text: string) => [{ role: 'user', content: text }];

/** A long stream of every dialect, and what its last words are when the engine fails under it. */
const dialects = [
  {
    name: 'chat completions',
    path: '/v1/chat/completions',
    body: { messages: messages('a'), max_tokens: 1500, temperature: 0, stream: true },
    failure: /data: \{"error":\{[^\n]*"message"/,
    whole: /data: \[DONE\]/,
  },
  {
    name: 'responses',
    path: '/v1/responses',
    body: { input: 'b', max_output_tokens: 1500, temperature: 0, stream: true },
    failure: /event: (response\.failed|error)\n/,
    whole: /event: response\.completed\n/,
  },
  {
    name: 'anthropic',
    path: '/v1/messages',
    body: { messages: messages('c'), max_tokens: 1500, temperature: 0, stream: true },
    failure: /event: error\n/,
    whole: /event: message_stop\n/,
  },
  {
    name: 'ollama',
    path: '/api/chat',
    body: { messages: messages('d'), options: { num_predict: 1500, temperature: 0 } },
    failure: /\{"error":"[^\n]*\}\n/,
    whole: /"done":true/,
  },
] as const;

describe('vLLM that our server started', () => {
  let server: ManagedServer;
  let folder: string;
  before(async () => {
    folder = vllmCheckpoint({ endless: true });
    server = new ManagedServer(folder);
    await server.ready();
  });
  after(() => server?.end('SIGKILL'));

  test('it is the server’s, with metrics under our names, and answers say who gave them', async () => {
    const body = { messages: messages('x'), max_tokens: 20, temperature: 0 };
    const answer = (await (await server.post('/v1/chat/completions', body)).json()) as {
      readonly details?: { readonly engine?: string };
      readonly engine?: string;
      readonly usage: { readonly completion_tokens: number };
    };
    assert.ok(answer.usage.completion_tokens > 0);
    assert.match(JSON.stringify(answer), /"engine":"vllm 127\.0\.0\.1:\d+"/);
    assert.equal((await server.upstream()).state, 'ready');
    const metrics = await (await fetch(`${server.url}/metrics`)).text();
    for (const name of ['backend_prompt_tokens_total', 'backend_generated_tokens_total']) {
      const line = new RegExp(
        `^paceline_${name}\\{backend="vllm",upstream="[^"]+"\\} (\\S+)$`,
        'm',
      );
      assert.ok(Number(line.exec(metrics)?.[1]) > 0, name);
    }
    assert.match(metrics, /^paceline_backend_up\{backend="vllm",[^}]*\} 1$/m);
  });

  test('its core killed under streams: each ends by its dialect’s error, who waited is answered', async () => {
    const old = server.groups;
    assert.equal(old.length, 1);
    const texts = dialects.map(() => '');
    const streams = dialects.map(async ({ path, body }, at) => {
      const response = await server.post(path, body);
      assert.equal(response.status, 200);
      for await (const bytes of response.body ?? []) {
        texts[at] += Buffer.from(bytes as Uint8Array).toString();
      }
    });
    const settled = Promise.allSettled(streams);
    // The words themselves, not only the start of a stream.
    await until(() => texts.every((text) => text.length > 1000));
    // All slots are taken: these wait, and nothing of them has begun.
    const waiting = [1, 2, 3].map(async (at) => {
      const body = { messages: messages(`w${at}`), max_tokens: 5, temperature: 0 };
      return server.post('/v1/chat/completions', body);
    });
    await new Promise((resolve) => setTimeout(resolve, 100));
    const core = processNamed('VLLM::EngineCore').find(({ group }) => old.includes(group));
    assert.ok(core !== undefined);
    process.kill(core.pid, 'SIGKILL');
    await settled;
    for (const [at, { name, failure, whole }] of dialects.entries()) {
      assert.match(texts[at] ?? '', failure, name);
      assert.doesNotMatch(texts[at] ?? '', whole, name);
    }
    for (const response of await Promise.all(waiting)) {
      assert.equal(response.status, 200, await response.clone().text());
    }
    const { state, restarts } = await server.upstream();
    assert.deepEqual({ state, restarts }, { state: 'ready', restarts: 1 });
    for (const group of old) assert.deepEqual(groupOf(group), []);
  });

  test('drained: a stream is told to its end, and nothing is left', async () => {
    const groups = server.groups;
    assert.equal(groups.length, 1);
    const { path, body, whole } = dialects[0];
    const response = await server.post(path, { ...body, max_tokens: 300 });
    assert.equal(response.status, 200);
    const reading = response.text();
    const ended = server.end('SIGTERM');
    assert.match(await reading, whole);
    await ended;
    await until(() => groups.every((group) => groupOf(group).length === 0));
  });

  test('the server killed while vLLM loads: nothing of it lives on', async () => {
    await server.end('SIGKILL');
    server = new ManagedServer(folder);
    const cores = () => {
      const groups = server.groups;
      return processNamed('VLLM::EngineCore').filter(({ group }) => groups.includes(group));
    };
    await until(() => cores().length > 0, startLimitMs);
    const groups = server.groups;
    await server.end('SIGKILL');
    await until(() => groups.every((group) => groupOf(group).length === 0));
  });
});
