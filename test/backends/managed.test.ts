import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { BackendEngine } from '../../src/backends/engine.js';
import { launchPlan } from '../../src/backends/managed/launch.js';
import { ManagedModel } from '../../src/backends/managed/managed-model.js';
import { ManagedPool } from '../../src/backends/managed/managed-pool.js';
import { backendNamed } from '../../src/backends/registry.js';
import { PacelineError } from '../../src/base/errors.js';
import { eventually } from '../server/support.js';
import { fakeBackend, fakeProgram, isAlive, killServer } from './started-engine.js';
import { chatRequest, finished, never } from './support.js';

const posix = process.platform !== 'win32';
const linux = process.platform === 'linux';

async function managed(
  t: TestContext,
  options: {
    readonly id?: string;
    readonly mode?: string;
    readonly pinned?: boolean;
    readonly mostRestarts?: number;
    readonly longestUnwellMs?: number;
  } = {},
) {
  const { id = 'fake', mode, pinned = false, mostRestarts = 8, longestUnwellMs = 60_000 } = options;
  const folder = mkdtempSync(join(tmpdir(), 'paceline-managed-'));
  const states: string[] = [];
  const model = await ManagedModel.create(
    { id, model: 'm', pinned },
    {
      backend: fakeBackend(folder, mode),
      program: [process.execPath, fakeProgram],
      slots: 4,
      ...{ mostRestarts, longestUnwellMs },
      logFolder: folder,
      onNotice: (_, text) => states.push(text),
    },
  );
  t.after(() => model.close());
  const processes = (): { engine: number; worker: number } =>
    JSON.parse(readFileSync(join(folder, `${id}.json`), 'utf8'));
  return { model, folder, states, processes };
}

/** An engine of this model alone, which is started. */
async function engineWith(t: TestContext, model: ManagedModel): Promise<BackendEngine> {
  const pool = new ManagedPool({ models: [model], maxLoaded: 1, unloadAfterMs: 0 });
  const engine = new BackendEngine({ upstreams: [], managed: pool, queueLimit: 4, healthMs: 20 });
  t.after(() => engine.stop());
  await engine.start();
  return engine;
}

describe('the arguments of a start', () => {
  const values = { model: 'm', servedName: 's', host: '127.0.0.1', port: 9 };

  it('are what the descriptor says, with conditions', () => {
    const backend = backendNamed('vllm');
    const plain = launchPlan(backend, ['vllm'], { ...values, key: 'k' });
    assert.ok(!plain.arguments.includes('--enforce-eager'));
    assert.equal(plain.environment.VLLM_API_KEY, 'k');
    assert.ok(!plain.arguments.includes('k'));
    const cpu = launchPlan(backend, ['vllm'], { ...values, device: 'cpu', contextLength: 4096 });
    assert.ok(cpu.arguments.includes('--enforce-eager'));
    assert.equal(cpu.arguments[cpu.arguments.indexOf('--max-model-len') + 1], '4096');
  });

  it('refuse those of the user that are the server’s to give', () => {
    assert.throws(
      () => launchPlan(backendNamed('vllm'), ['vllm'], values, ['--port=1']),
      /--port=1/,
    );
    assert.throws(
      () => launchPlan(backendNamed('ollama'), ['ollama'], values),
      /not started by Paceline/,
    );
  });
});

describe('an engine in a process of its own', { skip: posix ? false : 'POSIX' }, () => {
  it('is ready after its states, says its arguments, and ends with its workers', async (t) => {
    const { model, states, processes } = await managed(t);
    assert.equal(model.state, 'unloaded');
    await model.ensure(never);
    assert.equal(model.state, 'ready');
    assert.equal(model.upstream.isAvailable, true);
    assert.ok(states.includes('vllm fake: loading'));
    assert.ok(states.includes('vllm fake: ready'));
    assert.match(readFileSync(model.logPath, 'utf8'), /start: .*fake-engine\.mjs \d+ /);
    const { engine, worker } = processes();
    assert.ok(isAlive(engine) && isAlive(worker));
    await model.stop();
    assert.equal(isAlive(engine), false);
    if (process.platform === 'linux') assert.equal(isAlive(worker), false);
    assert.equal(model.upstream.isAvailable, false);
  });

  it('is started again when it lives but stays unwell', async (t) => {
    const { model, states, processes } = await managed(t, { mode: 'unwell', longestUnwellMs: 100 });
    const engine = await engineWith(t, model);
    await finished(engine, chatRequest({ model: 'fake' }));
    const first = processes().engine;
    await eventually(() => model.restarts === 1 && model.state === 'ready', 'it is started again');
    assert.equal(isAlive(first), false);
    assert.notEqual(processes().engine, first);
    assert.ok(
      states.some((text) => text.includes('died (no answer for 0.1 s)')),
      states.join(),
    );
    const { choices } = await finished(engine, chatRequest({ model: 'fake' }));
    assert.equal(choices[0]?.text, `pid ${processes().engine}`);
  });

  it('says why it does not start', async (t) => {
    const { model } = await managed(t, { mode: 'fail' });
    await assert.rejects(model.ensure(never), (error) => {
      assert.ok(PacelineError.is(error) && error.code === 'unavailable');
      assert.match(error.message, /exit code 3/);
      assert.match(error.hint ?? '', /no device was found/);
      return true;
    });
    assert.equal(model.state, 'failed');
  });

  it('is started again when it dies', async (t) => {
    const { model, processes } = await managed(t);
    await model.ensure(never);
    const { engine } = processes();
    process.kill(engine, 'SIGKILL');
    await eventually(() => model.restarts === 1, 'a restart');
    await model.ensure(never);
    assert.notEqual(processes().engine, engine);
  });

  it('gets requests again after it failed some', async (t) => {
    const { model } = await managed(t, { mode: 'sick', pinned: true });
    const engine = await engineWith(t, model);
    await assert.rejects(
      finished(engine, chatRequest()),
      (error) => PacelineError.is(error) && error.code === 'network',
    );
    assert.equal(model.upstream.state, 'down');
    const { choices } = await finished(engine, chatRequest());
    assert.match(choices[0]?.text ?? '', /^pid \d+$/);
  });

  it('fails the requests for it when it can’t be started again', async (t) => {
    const { model, processes } = await managed(t, { mode: 'once', pinned: true, mostRestarts: 1 });
    const engine = await engineWith(t, model);
    await finished(engine, chatRequest());
    process.kill(processes().engine, 'SIGKILL');
    await eventually(() => model.state !== 'ready', 'its death');
    for (let round = 0; round < 2; round++) {
      await assert.rejects(
        finished(engine, chatRequest()),
        (error) =>
          PacelineError.is(error) &&
          error.code === 'unavailable' &&
          /exit code 3/.test(error.message),
      );
    }
    assert.equal(engine.busy, 0);
  });

  it('makes room for another, unless it is used or pinned', async (t) => {
    const [a, b, c] = await Promise.all([
      managed(t, { id: 'a', pinned: true }),
      managed(t, { id: 'b' }),
      managed(t, { id: 'c' }),
    ]);
    const models = [a.model, b.model, c.model];
    const pool = new ManagedPool({ models, maxLoaded: 2, unloadAfterMs: 0 });
    await pool.startPinned(never);
    const release = await pool.use(b.model, never);
    await assert.rejects(
      pool.use(c.model, never),
      (error) => PacelineError.is(error) && error.code === 'busy',
    );
    release();
    (await pool.use(c.model, never))();
    assert.deepEqual(
      models.map(({ state }) => state),
      ['ready', 'unloaded', 'ready'],
    );
  });

  it('leaves nothing behind when the server is killed', { skip: linux ? false : 'Linux' }, () =>
    killServer(),
  );
});
