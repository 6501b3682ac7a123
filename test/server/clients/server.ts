/**
 * The one server that all clients talk to; it ends with the tests of the file that imports them. With
 * PACELINE_TEST_BACKEND the answers come from another engine behind it: `paceline` (a second server),
 * `llama-server`, or BACKEND=URL of a running one that has the models `default` and `thinking`; with a
 * comma between, of several that have them together.
 */
import { after } from 'node:test';
import {
  type CreateBackendOptions,
  createBackendEngine,
  parseUpstream,
} from '../../../src/backends/create.js';
import { engineProgram } from '../../../src/backends/managed/program.js';
import { backendNamed } from '../../../src/backends/registry.js';
import { defaultModelPath } from '../../../src/base/paths.js';
import { startServer, type TestServer, thinkingModel } from '../support.js';

let started: Promise<TestServer> | undefined;
let behind: TestServer | undefined;

/** Whose answers are tested. */
export const testedBackend = process.env.PACELINE_TEST_BACKEND ?? '';

export function clientServer(): Promise<TestServer> {
  started ??= start();
  return started;
}

async function start(): Promise<TestServer> {
  // No pings: what a stream holds does not depend on how busy the machine is.
  const own = { models: ['default', await thinkingModel()], keepAliveMs: 60_000 };
  if (testedBackend === '') return startServer(own);
  const backends = await createBackendEngine({ queueLimit: 64, ...(await backendOptions(own)) });
  return startServer({ models: [], keepAliveMs: 60_000, backends });
}

async function backendOptions(own: {
  readonly models: readonly string[];
}): Promise<Partial<CreateBackendOptions>> {
  if (testedBackend === 'paceline') {
    behind = await startServer(own);
    return { upstreams: [{ url: behind.url, backend: 'paceline' }] };
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
        { id: 'thinking', model: await thinkingModel(), pinned: true },
      ],
      slots: 4,
      threads: 1,
      maxLoaded: 2,
      unloadAfterMs: 0,
    },
  };
}

after(async () => {
  await (await started)?.close();
  await behind?.close();
});
