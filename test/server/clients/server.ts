/**
 * The one server that all clients talk to; it ends with the tests of the file that imports them. With
 * PACELINE_TEST_BACKEND the answers come from another engine behind it: `paceline`, `ollama` and `openai`
 * are a second Paceline that is spoken to as such a backend, `llama-server` is started, and BACKEND=URL is
 * one that runs and has the models `default` and `thinking`; with a comma between, several that have them
 * together.
 */
import assert from 'node:assert/strict';
import { after, it as nodeIt } from 'node:test';
import {
  type CreateBackendOptions,
  createBackendEngine,
  parseUpstream,
} from '../../../src/backends/create.js';
import { engineProgram } from '../../../src/backends/managed/program.js';
import { backendNamed } from '../../../src/backends/registry.js';
import { defaultModelPath } from '../../../src/base/paths.js';
import { startServer, type TestServer, tellingThinkingModel, thinkingModel } from '../support.js';

let started: Promise<TestServer> | undefined;
let behind: TestServer | undefined;

/** Whose answers are tested. */
export const testedBackend = process.env.PACELINE_TEST_BACKEND ?? '';

/** What every server here runs at once, and what the server before it therefore sends. */
const slots = 4;

// An assertion without a message reads its own call in the file, and of what tsx makes of a file, one long
// line, that takes minutes in which nothing else is done.
const said: (value: unknown, message: string | Error) => void = assert.ok;
assert.ok = (value: unknown, message: string | Error = 'an assertion does not hold') =>
  said(value, message);

/** A test that ends, whatever the server does. */
export function it(name: string, test: () => Promise<void>): void {
  void nodeIt(name, { timeout: 120_000 }, test);
}

export function clientServer(): Promise<TestServer> {
  started ??= start();
  return started;
}

/** Waits until nothing is generated, neither by the server nor by the engine behind it. */
export async function slotsAreFree({ url }: TestServer): Promise<void> {
  let busy: readonly string[] = [];
  for (let round = 0; round < 500; round++) {
    const text = await (await fetch(`${url}/metrics`)).text();
    busy = text
      .split('\n')
      .filter((line) => /^paceline_(slots_busy|backend_running_requests)\b/.test(line))
      .filter((line) => !line.endsWith(' 0'));
    if (busy.length === 0) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`Slots are never free: ${busy.join(', ')}`);
}

async function start(): Promise<TestServer> {
  // No pings: what a stream holds does not depend on how busy the machine is.
  const own = { models: ['default', await thinkingModel()], slots, keepAliveMs: 60_000 };
  if (testedBackend === '') return startServer(own);
  const options = await backendOptions(own);
  const backends = await createBackendEngine({ queueLimit: 64, upstreamSlots: slots, ...options });
  return startServer({ models: [], keepAliveMs: 60_000, backends });
}

async function backendOptions(own: {
  readonly models: readonly string[];
}): Promise<Partial<CreateBackendOptions>> {
  const name = testedBackend;
  if (name === 'paceline' || name === 'ollama' || name === 'openai') {
    behind = await startServer(own);
    return { upstreams: [{ url: behind.url, backend: name }] };
  }
  if (testedBackend !== 'llama-server') {
    return { upstreams: testedBackend.split(',').map(parseUpstream) };
  }
  return {
    managed: {
      backend: 'llama-server',
      ...(await engineProgram(backendNamed('llama-server'))),
      models: [
        { id: 'default', model: defaultModelPath(), pinned: true },
        { id: 'thinking', model: await tellingThinkingModel(), pinned: true },
      ],
      slots,
      threads: 1,
      extra: ['--embeddings', '--pooling', 'last'],
      maxLoaded: 2,
      unloadAfterMs: 0,
    },
  };
}

after(async () => {
  await (await started)?.close();
  await behind?.close();
});
