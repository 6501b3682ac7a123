/** The page as it is sent: its weight, its policy, and that it names no other host. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { contentSecurityPolicy, readPageFiles } from '../../src/server/http/page-files.js';

const files = await readPageFiles();
const text = (name: string): string => Buffer.from(files.get(name)?.plain ?? []).toString();

test('the page weighs at most 150 KB compressed, all together', (t) => {
  assert.ok(files.names.length >= 4, files.names.join());
  const sum = (of: 'gzip' | 'brotli'): number =>
    files.names.reduce((total, name) => total + (files.get(name)?.[of].length ?? 0), 0);
  t.diagnostic(`${sum('gzip')} bytes with gzip, ${sum('brotli')} with Brotli`);
  assert.ok(sum('gzip') <= 150_000);
});

test('it has no inline script, style or handler, and its policy forbids them', () => {
  const html = text('index.html');
  const scripts = [...html.matchAll(/<script([^>]*)>([\s\S]*?)<\/script>/g)];
  assert.equal(scripts.length, 1);
  assert.match(scripts[0]?.[1] ?? '', / src="\/page\/main-[A-Z0-9]{8}\.js"/);
  assert.equal(scripts[0]?.[2], '');
  assert.doesNotMatch(html, /<style|\son\w+=|\sstyle=/);
  assert.doesNotMatch(contentSecurityPolicy, /unsafe|\*|https?:/);
  assert.match(contentSecurityPolicy, /^default-src 'none'; script-src 'self'; style-src 'self'/);
});

test('what it names is there, and nothing of another host is loaded', () => {
  const html = text('index.html');
  for (const [, name = ''] of html.matchAll(/(?:href|src)="([^"]+)"/g)) {
    assert.match(name, /^\/page\//);
    assert.ok(files.get(name.slice('/page/'.length)), name);
  }
  const css = files.names
    .filter((name) => name.endsWith('.css'))
    .map(text)
    .join('');
  assert.doesNotMatch(css, /url\(|@import/);
});

test('it is sent as the client can unpack it, and kept as long as its name stays', () => {
  const script = files.names.find((name) => name.endsWith('.js')) ?? '';
  const encodings = [
    ['gzip, deflate, br', 'br'],
    ['gzip', 'gzip'],
    ['', null],
  ] as const;
  for (const [accept, encoding] of encodings) {
    const { headers } = files.answer(script, accept) ?? new Response();
    assert.equal(headers.get('content-encoding'), encoding);
    assert.match(headers.get('cache-control') ?? '', /immutable/);
    assert.equal(headers.get('content-security-policy'), contentSecurityPolicy);
  }
  assert.equal(files.answer('index.html')?.headers.get('cache-control'), 'no-cache');
  assert.equal(files.answer('../index.html'), undefined);
});
