/**
 * Two engines in processes of their own behind one server, killed by SIGKILL again and again while clients
 * stream from it: what was begun ends with an error, everything else with its text, and nobody waits for
 * ever. With PACELINE_TEST_BACKEND=llama-server the engines are that one's.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, it, type TestContext } from 'node:test';
import { createBackendEngine } from '../../src/backends/create.js';
import type { BackendDescriptor } from '../../src/backends/descriptor.js';
import { freePort } from '../../src/backends/managed/free-port.js';
import { launchPlan } from '../../src/backends/managed/launch.js';
import { engineProgram } from '../../src/backends/managed/program.js';
import { backendNamed } from '../../src/backends/registry.js';
import { defaultModelPath } from '../../src/base/paths.js';
import { serve } from '../../src/server/serve.js';
import { sseData } from '../server/support.js';
import { fakeProgram } from './started-engine.js';

const kills = 50;
const streams = 8;
/** No request takes so long, unless it hangs. */
const patienceMs = 60_000;

type Program = readonly [string, ...string[]];

/** The backend, and how an engine of it is started. */
async function engineOf(
  name: string,
): Promise<{ readonly backend: BackendDescriptor; readonly program: (port: number) => Program }> {
  if (name !== 'llama-server') {
    const program = (port: number): Program => [
      process.execPath,
      fakeProgram,
      String(port),
      '',
      'alone',
    ];
    return { backend: backendNamed('openai'), program };
  }
  const backend = backendNamed(name);
  const { program: found } = await engineProgram(backend);
  const values = { model: defaultModelPath(), servedName: 'fake', host: '127.0.0.1', slots: 4 };
  return {
    backend,
    program: (port) => {
      const plan = launchPlan(backend, found, { ...values, port, threads: 1 });
      return [plan.program, ...plan.arguments];
    },
  };
}

class KilledEngine {
  #process: ChildProcess | undefined;

  constructor(
    readonly port: number,
    readonly program: Program,
    readonly healthPath: string,
  ) {}

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Resolves when it answers. */
  async start(): Promise<void> {
    const [program, ...words] = this.program;
    this.#process = spawn(program, words, { stdio: 'ignore' });
    const until = performance.now() + patienceMs;
    while (performance.now() < until) {
      const answer = await fetch(this.url + this.healthPath).catch(() => undefined);
      await answer?.body?.cancel();
      if (answer?.ok) return;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    throw new Error('The engine does not start');
  }

  async kill(): Promise<void> {
    const engine = this.#process;
    this.#process = undefined;
    if (engine === undefined || engine.exitCode !== null) return;
    const exit = once(engine, 'exit');
    engine.kill('SIGKILL');
    await exit;
  }
}

/** One request as a client sees it. */
async function ask(url: string): Promise<'whole' | 'broken'> {
  const body = {
    model: 'fake',
    messages: [{ role: 'user', content: 'Count' }],
    max_tokens: 8,
    stream: true,
  };
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(patienceMs),
  });
  const text = await response.text();
  assert.equal(response.status, 200, `a request that had not begun failed: ${text}`);
  const said = sseData(text);
  const hasText = said.some((chunk) => chunk.choices?.[0]?.delta?.content);
  if (text.includes('[DONE]')) {
    assert.ok(hasText, 'an empty text');
    return 'whole';
  }
  assert.ok(said.at(-1)?.error !== undefined, `a stream ends in silence: ${text}`);
  assert.ok(hasText, `a request that had not begun failed: ${text}`);
  return 'broken';
}

async function killUnderStreams(t: TestContext, name: string): Promise<void> {
  const { backend, program } = await engineOf(name);
  const ports = [await freePort(), await freePort()];
  const engines = ports.map((port) => new KilledEngine(port, program(port), backend.health.path));
  t.after(() => Promise.all(engines.map((engine) => engine.kill())));
  await Promise.all(engines.map((engine) => engine.start()));
  const behind = await createBackendEngine({
    upstreams: engines.map(({ url }) => ({ url, backend: backend.name })),
    // Half of the streams wait.
    upstreamSlots: streams / 4,
    queueLimit: 64,
    healthMs: 50,
    breaker: { firstPauseMs: 20, longestPauseMs: 200 },
  });
  const server = await serve({ models: [], backends: behind, port: 0, log: 'none' });
  t.after(() => server.close(0));
  await server.ready;
  const outcomes = { whole: 0, broken: 0 };
  let killing = true;
  const running = Array.from({ length: streams }, async () => {
    while (killing) outcomes[await ask(server.address)] += 1;
  });
  let failure: unknown;
  for (const stream of running) {
    stream.catch((error: unknown) => {
      failure ??= error;
    });
  }
  let killed = 0;
  while (killed < kills) {
    const before = outcomes.whole;
    const until = performance.now() + patienceMs;
    while (outcomes.whole === before && failure === undefined && performance.now() < until) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    if (failure !== undefined) throw failure;
    assert.ok(outcomes.whole > before, 'requests are answered between the kills');
    // Now one, now the other, and every fifth time both at once.
    const victims = killed % 5 === 4 ? engines : engines.slice(killed % 2).slice(0, 1);
    await Promise.all(victims.map((engine) => engine.kill()));
    await Promise.all(victims.map((engine) => engine.start()));
    killed += victims.length;
  }
  killing = false;
  await Promise.all(running);
  assert.equal(behind.busy, 0);
  assert.equal(behind.waiting, 0);
  t.diagnostic(`${killed} kills: ${outcomes.whole} whole, ${outcomes.broken} broken`);
}

describe('engines that are killed under streams', () => {
  const name = process.env.PACELINE_TEST_BACKEND ?? 'a fake one';
  it(`${name}: 50 times, without a hung client or a lost request`, { timeout: 180_000 }, (t) =>
    killUnderStreams(t, name),
  );
});
