import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Guard, hostName, isLoopback, loopbackNames } from '../../src/server/http/guard.js';

function ask(guard: Guard, headers: Record<string, string>, path = '/v1/models'): string {
  try {
    guard.check({ method: 'POST', path, header: (name) => headers[name] });
    return 'ok';
  } catch (error) {
    return (error as { code: string }).code;
  }
}

const local = { apiKeys: [], hosts: loopbackNames, origins: [] };

test('hosts are compared without port, case and brackets', () => {
  assert.equal(hostName('LocalHost:80'), 'localhost');
  assert.equal(hostName('[::1]:11711'), '::1');
  for (const host of ['127.0.0.1', 'localhost', '::1', '127.3.2.1']) assert.ok(isLoopback(host));
  for (const host of ['0.0.0.0', '192.168.0.2', 'example.com', '127.0.0.1.evil.com']) {
    assert.ok(!isLoopback(host), host);
  }
});

test('a name that is not this machine is refused', () => {
  const guard = new Guard(local);
  for (const host of ['localhost', 'localhost:11711', '127.0.0.1:1', '[::1]:1']) {
    assert.equal(ask(guard, { host }), 'ok', host);
  }
  for (const host of ['evil.example', 'localhost.evil.example', '', '127.0.0.1.nip.io:11711']) {
    assert.equal(ask(guard, { host }), 'forbidden', host);
  }
  assert.equal(ask(guard, {}), 'forbidden');
});

test('pages of other origins are refused unless they are on the list', () => {
  const host = 'localhost:1';
  assert.equal(ask(new Guard(local), { host, origin: 'https://evil.example' }), 'forbidden');
  assert.equal(ask(new Guard(local), { host, origin: 'null' }), 'forbidden');
  assert.equal(ask(new Guard(local), { host, origin: 'http://localhost:1' }), 'ok');
  const open = new Guard({ ...local, origins: ['https://good.example'] });
  assert.equal(ask(open, { host, origin: 'https://good.example' }), 'ok');
  assert.equal(ask(open, { host, origin: 'https://good.example.evil' }), 'forbidden');
  assert.equal(open.allowedOrigin('https://good.example'), 'https://good.example');
  assert.equal(open.allowedOrigin('https://bad.example'), undefined);
});

test('any of several keys opens, as a bearer or as x-api-key; health needs none', () => {
  const guard = new Guard({ ...local, hosts: undefined, apiKeys: ['first', 'second key'] });
  assert.equal(ask(guard, { authorization: 'Bearer first' }), 'ok');
  assert.equal(ask(guard, { authorization: 'bearer second key' }), 'ok');
  assert.equal(ask(guard, { 'x-api-key': 'second key' }), 'ok');
  for (const headers of [{}, { authorization: 'Bearer firs' }, { 'x-api-key': '' }]) {
    assert.equal(ask(guard, headers as Record<string, string>), 'unauthorized');
  }
  assert.equal(ask(guard, {}, '/health'), 'ok');
  assert.equal(ask(guard, {}, '/metrics'), 'unauthorized');
});
