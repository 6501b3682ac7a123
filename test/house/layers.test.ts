import assert from 'node:assert/strict';
import { test } from 'node:test';
import { importCircles, importsOf, layers, layerViolations } from '../support/layers.js';
import { readRepositoryFile, repositoryFiles } from '../support/repository.js';

test('imports only point down', () => {
  const sources = repositoryFiles().filter((path) => /^src\/.*\.ts$/.test(path));
  assert.ok(sources.length > 20);
  const problems = sources.flatMap((path) => layerViolations(path, readRepositoryFile(path)));
  assert.deepEqual(problems, []);
});

test('the check sees every way to import, and an arrow that points up', () => {
  const source = `
import { a } from './a.js';
import type {
  B,
} from '../engine/b.js';
import '../c.js';
export * from '../decode/d.js';
const e = await import('../cli/e.js');
const f = new URL('../cache/f.js', import.meta.url);
import { readFile } from 'node:fs';
`;
  assert.deepEqual(importsOf(source), [
    './a.js',
    '../engine/b.js',
    '../c.js',
    '../decode/d.js',
    '../cli/e.js',
    '../cache/f.js',
    'node:fs',
  ]);
  assert.deepEqual(layerViolations('src/decode/x.ts', source), [
    'src/decode/x.ts imports src/engine/b.js, which is above it',
    'src/decode/x.ts imports src/c.js, which is above it',
    'src/decode/x.ts imports src/cli/e.js, which is above it',
  ]);
  assert.deepEqual(layerViolations('src/index.ts', "import './cli/main.js';"), []);
  assert.equal(layerViolations('src/utils/x.ts', '').length, 1);
  assert.equal(layerViolations('src/cli/x.ts', "import '../../test/y.js';").length, 1);
});

test('every folder of src/ is a layer', () => {
  const folders = new Set(
    repositoryFiles()
      .filter((path) => /^src\/[^/]+\//.test(path))
      .map((path) => path.split('/')[1] ?? ''),
  );
  const known: readonly string[] = layers;
  assert.deepEqual(
    [...folders].filter((folder) => !known.includes(folder)),
    [],
  );
});

/** One class over several files, whose parts name each other's types. */
const knownCircles: readonly RegExp[] = [/^src\/ggml\//];

test('imports never go in circles', () => {
  const paths = repositoryFiles().filter((path) => /^src\/.*\.ts$/.test(path));
  const circles = importCircles(new Map(paths.map((path) => [path, readRepositoryFile(path)])));
  assert.deepEqual(
    circles.filter((circle) => !circle.every((path) => knownCircles.some((k) => k.test(path)))),
    [],
  );
});

test('the check finds circles, also through other files and of types alone', () => {
  const sources = new Map([
    ['src/a/one.ts', "import { two } from './two.js';"],
    ['src/a/two.ts', "import type { Three } from '../b/three.js';"],
    ['src/b/three.ts', "import { one } from '../a/one.js';"],
    ['src/b/four.ts', "import { one } from '../a/one.js'; import './five.js';"],
    ['src/b/five.ts', "import { join } from 'node:path';"],
  ]);
  assert.deepEqual(importCircles(sources), [['src/a/one.ts', 'src/a/two.ts', 'src/b/three.ts']]);
  assert.deepEqual(importCircles(new Map([['src/a.ts', "import './a.js';"]])), [['src/a.ts']]);
});
