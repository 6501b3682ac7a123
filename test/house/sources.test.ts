import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readRepositoryFile, repositoryFiles } from '../support/repository.js';

const files = repositoryFiles();
const code = files.filter(
  (path) => /\.(ts|mjs|js|c|cc|cpp|h|hpp|py)$/.test(path) && !path.endsWith('.d.ts'),
);
const typescript = code.filter((path) => path.endsWith('.ts'));

/** Tables made by a program are not read by people. */
function isGenerated(source: string): boolean {
  return /generated/i.test(source.split('\n').slice(0, 6).join('\n'));
}

test('no file of code has more than 600 lines', () => {
  const long = code
    .map((path) => ({ path, source: readRepositoryFile(path) }))
    .filter(({ source }) => !isGenerated(source))
    .map(({ path, source }) => ({ path, lines: source.split('\n').length - 1 }))
    .filter(({ lines }) => lines > 600);
  assert.deepEqual(long, []);
});

test('nothing is typed any', () => {
  const pattern = /(?::|<|\bas|\||=>|,)\s*any\b(?!\s*\()|\bany\[\]/;
  const found = typescript.flatMap((path) =>
    readRepositoryFile(path)
      .split('\n')
      .filter((line) => !/^\s*(\*|\/\/|\/\*)/.test(line))
      .map((line) => line.replace(/'[^']*'|"[^"]*"|`[^`]*`|\/\/.*$|\/\*.*?\*\//g, ''))
      .filter((line) => pattern.test(line))
      .map((line) => `${path}: ${line.trim()}`),
  );
  assert.deepEqual(
    found.filter((line) => !line.startsWith('test/house/sources.test.ts')),
    [],
  );
});

test('files have kebab-case names', () => {
  const wrong = code
    .filter((path) => /^(src|test|bench|scripts|examples)\//.test(path))
    .filter(
      (path) =>
        !/^([a-z0-9]+(-[a-z0-9]+)*\/)*[a-z0-9]+(-[a-z0-9]+)*(\.(test|long))?\.\w+$/.test(path),
    );
  assert.deepEqual(wrong, []);
});

test('every module of src/ begins with a header that says what it is for', () => {
  const wrong = typescript
    .filter((path) => path.startsWith('src/'))
    .filter((path) => !/^(#!.*\n)?\/\*\*/.test(readRepositoryFile(path)));
  assert.deepEqual(wrong, []);
});
