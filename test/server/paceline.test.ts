/** The server's own routes and the page, against a real server. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type Json, post, sseData, startServer, type TestServer } from './support.js';

let server: TestServer;
before(async () => {
  server = await startServer({ apiKeys: ['key'] });
});
after(() => server.close(0));

const auth = { authorization: 'Bearer key' };
const get = (path: string, headers: Record<string, string> = auth) =>
  fetch(server.url + path, { headers });
const messages = [{ role: 'user', content: 'const colors = ["red", "green", "blue", "red",' }];
const body = { model: 'default', messages, temperature: 0, seed: 1, max_tokens: 40, draft: 'mtp' };

describe('the page', () => {
  test('is open to browsers, with its policy; others get one line', async () => {
    const page = await get('/', { accept: 'text/html,*/*' });
    assert.match(page.headers.get('content-security-policy') ?? '', /default-src 'none'/);
    const [, script = ''] = /src="([^"]+)"/.exec(await page.text()) ?? [];
    const found = await get(script, {});
    assert.equal(found.status, 200);
    assert.match(found.headers.get('content-type') ?? '', /javascript/);
    await found.arrayBuffer();
    assert.equal(await (await get('/', {})).text(), 'Paceline is running');
    assert.equal((await get('/page/none.js', {})).status, 404);
  });

  test('reaches nothing without a key', async () => {
    for (const path of ['status', 'library', 'activity?model=default']) {
      const answer = await get(`/paceline/v1/${path}`, {});
      assert.equal(answer.status, 401, path);
      await answer.arrayBuffer();
    }
    assert.equal((await post(server, '/paceline/v1/verify', body)).status, 401);
  });
});

test('details tell each token of a text, and the text is the same', async () => {
  const options = { headers: auth };
  const plain = await post(server, '/v1/chat/completions', body, options);
  const streamed = { ...body, stream: true, details: true };
  const { text } = await post(server, '/v1/chat/completions', streamed, options);
  const chunks = sseData(text);
  const said = chunks.map(({ choices }) => choices?.[0]?.delta?.content ?? '').join('');
  assert.equal(said, plain.json.choices?.[0]?.message?.content);
  const tokens = chunks.flatMap(({ details }) =>
    Array.isArray(details?.tokens) ? (details.tokens as unknown as Json[]) : [],
  );
  const length = tokens.reduce((sum, token) => sum + Number(token.length), 0);
  assert.equal(length, said.length);
  const end = chunks.find(({ timings }) => timings !== undefined);
  const accepted = tokens.filter(({ drafter }) => String(drafter) === 'mtp').length;
  assert.equal(accepted, Number(end?.timings?.draft?.accepted));
  const guesses = tokens.reduce((sum, token) => sum + Number(token.guesses ?? 0), 0);
  assert.equal(guesses, Number(end?.timings?.draft?.drafted));
  assert.ok(Number(chunks[0]?.details?.cached_tokens) > 0, 'the second time it is cached');
  assert.equal(Number(end?.details?.tokens), 40);
});

test('completions tell them too', async () => {
  const request = {
    model: 'default',
    prompt: 'import {',
    max_tokens: 8,
    stream: true,
    details: true,
  };
  const { text } = await post(server, '/v1/completions', request, { headers: auth });
  const counted = sseData(text).flatMap(({ details }) =>
    Array.isArray(details?.tokens) ? (details.tokens as unknown as Json[]) : [],
  );
  assert.equal(counted.length, 8);
});

test('verify computes a text twice and finds it identical', async () => {
  const { text, status } = await post(server, '/paceline/v1/verify', body, { headers: auth });
  assert.equal(status, 200, text);
  const lines = text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Json);
  const ids = (way: string): unknown[] =>
    lines
      .filter((line) => String(line.way) === way && Array.isArray(line.tokens))
      .flatMap(({ tokens }) => (tokens as unknown as Json[]).map(({ id }) => id));
  assert.equal(ids('plain').length, 40);
  assert.deepEqual(ids('drafted'), ids('plain'));
  const ends = lines.filter(({ type }) => String(type) === 'way-end');
  assert.ok(Number(ends[1]?.steps) < Number(ends[0]?.steps), 'drafts save passes');
  const verdict = lines.at(-1);
  assert.equal(String(verdict?.type), 'verdict');
  assert.equal(Boolean(verdict?.identical), true);
  assert.equal(Number(verdict?.rows), 40);
});

test('verify refuses by name what it can not prove', async () => {
  const options = { headers: auth };
  const format = { ...body, response_format: { type: 'json_object' } };
  const refused = await post(server, '/paceline/v1/verify', format, options);
  assert.equal(refused.status, 400);
  assert.equal(String(refused.json.error?.param), 'response_format');
  const unknown = { ...body, model: 'none' };
  assert.equal((await post(server, '/paceline/v1/verify', unknown, options)).status, 404);
});

test('status has the memory map, activity the passes after a number', async () => {
  const status = (await (await get('/paceline/v1/status')).json()) as Json;
  const model = (status.models as unknown as Json[])[0];
  assert.ok(Number(model?.memory?.weight_bytes) > 1e6);
  assert.deepEqual(model?.drafters, ['mtp', 'dflash']);
  assert.ok(Number(status.memory?.engine) > Number(model?.memory?.weight_bytes));
  const ask = async (since: number): Promise<Json> =>
    (await (await get(`/paceline/v1/activity?model=default&since=${since}`)).json()) as Json;
  const all = (await ask(0)).passes as unknown as Json[];
  const numbers = all.map(({ number }) => Number(number));
  const last = numbers.at(-1) ?? 0;
  assert.deepEqual(
    numbers,
    numbers.map((_, index) => last - numbers.length + 1 + index),
  );
  const kinds = new Set(
    all.flatMap(({ parts }) => (parts as unknown as Json[]).map(({ kind }) => String(kind))),
  );
  assert.deepEqual([...kinds].sort(), ['decode', 'prefill']);
  assert.equal(((await ask(last - 2)).passes as unknown as Json[]).length, 2);
  assert.equal((await get('/paceline/v1/activity?model=none')).status, 404);
});

test('a model is unloaded and loaded again', async () => {
  const model = { model: 'default' };
  const options = { headers: auth };
  const states = async (): Promise<unknown> => {
    const status = (await (await get('/paceline/v1/status')).json()) as Json;
    return (status.models as unknown as Json[])[0]?.state;
  };
  assert.equal((await post(server, '/paceline/v1/models/unload', model, options)).status, 200);
  assert.equal(await states(), 'unloaded');
  assert.equal((await post(server, '/paceline/v1/models/load', model, options)).status, 200);
  assert.equal(await states(), 'ready');
  const wrong = await post(server, '/paceline/v1/models/load', { model: 'none' }, options);
  assert.equal(wrong.status, 404);
});
