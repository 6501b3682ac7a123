import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatHubName, parseModelName, pathProblem } from '../../src/hub/names.js';

const hub = (repository: string, selector?: string, revision = 'main') => ({
  ...{ kind: 'hub', repository, revision, selector },
});

for (const [text, expected] of [
  ['default', { kind: 'default' }],
  ['hf:acme/widget-GGUF', hub('acme/widget-GGUF')],
  ['HF:acme/widget', hub('acme/widget')],
  ['hf://acme/widget', hub('acme/widget')],
  ['hf:acme/widget:Q4_K_M', hub('acme/widget', 'Q4_K_M')],
  ['hf:acme/widget:sub/model.gguf', hub('acme/widget', 'sub/model.gguf')],
  ['hf:acme/widget@v1.0:Q8_0', hub('acme/widget', 'Q8_0', 'v1.0')],
  ['hf:acme/widget@refs/pr/3', hub('acme/widget', undefined, 'refs/pr/3')],
  ['https://huggingface.co/acme/widget', hub('acme/widget')],
  [
    'https://huggingface.co/acme/widget/resolve/main/a/b.gguf?download=true',
    hub('acme/widget', 'a/b.gguf'),
  ],
  ['https://hf.co/acme/widget/blob/v2/b.gguf', hub('acme/widget', 'b.gguf', 'v2')],
  ['smollm2', { kind: 'alias', name: 'smollm2' }],
  ['llama3.2-1b', { kind: 'alias', name: 'llama3.2-1b' }],
  ['model.gguf', { kind: 'path', path: 'model.gguf' }],
  ['./smollm2', { kind: 'path', path: './smollm2' }],
  ['C:\\models\\a.gguf', { kind: 'path', path: 'C:\\models\\a.gguf' }],
] as const) {
  test(`${text} is read as ${JSON.stringify(expected)}`, () => {
    const name = parseModelName(text);
    assert.deepEqual(name, expected);
    if (name.kind === 'hub') assert.deepEqual(parseModelName(formatHubName(name)), name);
  });
}

test('an address of a GGUF file is kept as it is', () => {
  const name = parseModelName('https://example.com/m/a%20b.gguf?x=1');
  assert.ok(name.kind === 'url');
  assert.equal(name.url.href, 'https://example.com/m/a%20b.gguf?x=1');
});

for (const text of [
  'hf:',
  'hf:acme',
  'hf:acme/',
  'hf:/widget',
  'hf:../widget',
  'hf:acme/..',
  'hf:acme/a--b',
  'hf:acme/wid get',
  'hf:acme/.hidden',
  'hf:acme/widget:../../etc/passwd',
  'hf:acme/widget:/etc/passwd',
  'hf:acme/widget:a//b.gguf',
  'hf:acme/widget:a\\b.gguf',
  'hf:acme/widget@../../x:Q4_0',
  'hf:acme/widget:nul\0.gguf',
  `hf:acme/${'x'.repeat(100)}`,
  'https://example.com/model.bin',
  'https://user:secret@example.com/model.gguf',
  'http://',
]) {
  test(`${JSON.stringify(text.slice(0, 40))} is refused`, () => {
    assert.throws(() => parseModelName(text), { code: 'usage' });
  });
}

test('random names give a checked name or a usage error, and never climb out', () => {
  const pieces = [
    'hf:',
    'a',
    '/',
    '..',
    ':',
    '@',
    '.gguf',
    '\\',
    '\0',
    'Q4_K_M',
    '%2e%2e',
    'ü',
    ' ',
    '~',
  ];
  let state = 7;
  const next = (limit: number): number => {
    state = (state * 1103515245 + 12345) % 2 ** 31;
    return state % limit;
  };
  for (let round = 0; round < 5000; round++) {
    const text = `hf:a${Array.from({ length: 1 + next(9) }, () => pieces[next(pieces.length)]).join('')}`;
    try {
      const name = parseModelName(text);
      assert.ok(name.kind === 'hub');
      for (const part of [name.repository, name.revision, name.selector ?? 'x']) {
        assert.ok(!part.split('/').includes('..') && !part.startsWith('/'), text);
      }
    } catch (error) {
      assert.equal((error as { code?: string }).code, 'usage', text);
    }
  }
});

test('what may not become a path is named', () => {
  for (const path of [
    '',
    '.',
    'a/../b',
    '/a',
    'a/',
    'a:b',
    'a\nb',
    'x'.repeat(300),
    'a./b',
    'a ',
  ]) {
    assert.notEqual(pathProblem(path), undefined, path);
  }
  for (const path of ['a', 'a/b.gguf', '.gitattributes', 'Modèle-Q4_0.gguf', 'a..b']) {
    assert.equal(pathProblem(path), undefined, path);
  }
});
