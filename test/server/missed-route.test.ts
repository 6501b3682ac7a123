/** Requests that no route takes: what they are told. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { missedRoute, type Route } from '../../src/server/http/missed-route.js';

const routes: readonly Route[] = [
  { method: 'ALL', path: '/*' },
  { method: 'GET', path: '/' },
  { method: 'POST', path: '/v1/chat/completions' },
  { method: 'GET', path: '/v1/models' },
  { method: 'GET', path: '/v1/models/:model{.+}' },
  { method: 'GET', path: '/v1/responses/:id' },
  { method: 'DELETE', path: '/v1/responses/:id' },
  { method: 'POST', path: '/api/chat' },
];

const missed = (method: string, path: string) =>
  missedRoute({ method, path }, routes, { address: 'http://here', model: 'tiny' });

test('a wrong method is told the right ones, with an example', () => {
  const chat = missed('GET', '/v1/chat/completions');
  assert.equal(chat.httpStatus, 405);
  assert.equal(chat.details.allowed, 'POST');
  assert.match(chat.hint ?? '', /curl http:\/\/here\/v1\/chat\/completions .*"model": "tiny"/);
  assert.equal(missed('POST', '/v1/responses/x').details.allowed, 'GET, DELETE');
  assert.equal(missed('DELETE', '/v1/models/a/b').details.allowed, 'GET');
});

test('a wrong path is told the one that was meant, if there is one', () => {
  for (const path of [
    '/chat/completions',
    '/v1/v1/chat/completions',
    '/v1/chat/completion',
    '/openai/v1/chat/completions',
  ]) {
    const error = missed('POST', path);
    assert.equal(error.httpStatus, 404);
    assert.match(error.hint ?? '', /Did you mean \/v1\/chat\/completions\?/, path);
  }
  assert.match(missed('GET', '/models').hint ?? '', /mean \/v1\/models\?/);
  assert.doesNotMatch(missed('POST', '/api/pull-everything-now').hint ?? '', /mean/);
  assert.doesNotMatch(missed('GET', `/${'x'.repeat(100_000)}`).message, /x{200}/);
});
