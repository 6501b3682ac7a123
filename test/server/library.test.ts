/** Models on the disk that a server takes in while it runs: by the ids of its own list, and nothing else. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import type { ModelSource } from '../../src/server/library.js';
import { temporaryFile } from '../support/tiny-model.js';
import { disk, type Json, post, startServer, type TestServer, thinkingModel } from './support.js';

/** Two files, of which one is broken. */
async function twoFiles(): Promise<ModelSource> {
  const broken = temporaryFile('broken.gguf');
  writeFileSync(broken, 'no model');
  return disk({ small: await thinkingModel(), broken });
}

const route = '/paceline/v1/models/load';

async function get(server: TestServer, path: string): Promise<Json> {
  return (await (await fetch(server.url + path)).json()) as Json;
}

async function listed(server: TestServer): Promise<Map<string, Json>> {
  const { models } = await get(server, '/paceline/v1/library');
  return new Map((models as unknown as Json[]).map((model) => [String(model.name), model]));
}

async function stateOf(server: TestServer, id: string): Promise<string | undefined> {
  const { models } = await get(server, '/paceline/v1/status');
  const found = (models as unknown as Json[]).find((model) => String(model.id) === id);
  return found === undefined ? undefined : String(found.state);
}

describe('a model of the disk', () => {
  let server: TestServer;
  before(async () => {
    server = await startServer({ library: await twoFiles() });
  });
  after(() => server.close(0));

  test('is none of the server’s before somebody loads it', async () => {
    const { models } = await get(server, '/paceline/v1/status');
    assert.equal((models as unknown as Json[]).length, 1);
    const small = (await listed(server)).get('small');
    assert.match(String(small?.id), /^[0-9a-f]{16}$/);
    assert.equal(small?.served_as, null);
    const asked = { model: 'small', prompt: 'a', max_tokens: 1 };
    assert.equal((await post(server, '/v1/completions', asked)).status, 404);
  });

  test('can not be named by a path, nor by an id that is not listed', async () => {
    const path = await thinkingModel();
    for (const [body, status] of [
      [{ library: path }, 400],
      [{ library: '../../etc/passwd' }, 400],
      [{ library: '0123456789abcdef' }, 404],
      [{ model: path }, 404],
      [{ model: 'default', library: '0123456789abcdef' }, 400],
    ] as const) {
      const { status: got, json } = await post(server, route, body);
      assert.equal(got, status, `${JSON.stringify(body)}: ${json.error?.message}`);
      assert.ok(json.error?.message);
    }
    assert.equal(await stateOf(server, 'small'), undefined);
  });

  test('that is broken says so, and is not taken in', async () => {
    const broken = (await listed(server)).get('broken');
    assert.notEqual(broken?.problem, null);
    const { status, json } = await post(server, route, { library: broken?.id });
    assert.ok(status >= 400 && json.error?.message, String(status));
    assert.equal((await listed(server)).get('broken')?.served_as, null);
  });

  test('is loaded by its id, answers, and stays when the engine dies', async () => {
    const library = (await listed(server)).get('small')?.id;
    const loads = [0, 1].map(() => post(server, route, { library }));
    for (const { status, json } of await Promise.all(loads)) {
      assert.equal(status, 200, String(json.error?.message));
      assert.equal(String(json.model), 'small');
    }
    assert.equal(await stateOf(server, 'small'), 'ready');
    assert.equal(String((await listed(server)).get('small')?.served_as), 'small');
    const { data } = await get(server, '/v1/models');
    assert.deepEqual(
      (data as unknown as Json[]).map(({ id }) => String(id)),
      ['default', 'small'],
    );
    const asked = { model: 'small', prompt: 'a', max_tokens: 2, temperature: 0 };
    const first = await post(server, '/v1/completions', asked);
    assert.equal(first.status, 200, first.text);
    process.kill(server.engine.processId ?? 0, 'SIGKILL');
    const again = await post(server, '/v1/completions', asked);
    assert.equal(again.json.choices?.[0]?.text, first.json.choices?.[0]?.text);
    const unloaded = await post(server, '/paceline/v1/models/unload', { model: 'small' });
    assert.equal(unloaded.status, 200);
    assert.equal(await stateOf(server, 'small'), 'unloaded');
  });
});

test('a server that may hold one model refuses another, and keeps its own', async () => {
  const server = await startServer({ library: await twoFiles(), maxModels: 1 });
  try {
    const library = (await listed(server)).get('small')?.id;
    const { status, json } = await post(server, route, { library });
    assert.ok(status === 429 || status === 503, String(status));
    assert.match(String(json.error?.message), /can't be loaded/);
    assert.equal(await stateOf(server, 'default'), 'ready');
    assert.equal(await stateOf(server, 'small'), 'unloaded');
  } finally {
    await server.close(0);
  }
});
