/**
 * `npm test`: set-up, then every `test/**\/*.test.ts` with Node's own test runner, the slowest files of
 * earlier runs first, so that none is left to run alone at the end.
 * Usage: node scripts/test.mjs [--long] [--browser] [--test-name-pattern=...] [words of paths ...]
 * `--long` adds `test/**\/*.long.ts`, `--browser` the `*-browser.ts`, which need Chromium; words
 * keep only the files whose path contains one of them.
 */
import { setMaxListeners } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { parseArgs } from 'node:util';
import { filesUnder } from './lib/fingerprint.mjs';
import { root } from './lib/process.mjs';
import { buildTests, builtTest } from './lib/tests.mjs';
import { setupOrExit } from './setup.mjs';

const record = join(root, '.cache', 'test-durations.json');

/** Milliseconds that each file took when it last ran here. */
function knownDurations() {
  try {
    return JSON.parse(readFileSync(record, 'utf8'));
  } catch {
    return {};
  }
}

function given() {
  const options = {
    long: { type: 'boolean' },
    browser: { type: 'boolean' },
    'test-name-pattern': { type: 'string', multiple: true },
  };
  try {
    return parseArgs({ options, allowPositionals: true });
  } catch (error) {
    process.stderr.write(`test: ${error.message}\n`);
    process.exit(2);
  }
}

const { values, positionals: words } = given();
await setupOrExit();
await buildTests();
const durations = knownDurations();
const expected = (path) => durations[path] ?? Number.MAX_VALUE;
const files = filesUnder('test')
  .filter(
    (path) =>
      path.endsWith('.test.ts') ||
      (values.long && path.endsWith('.long.ts')) ||
      (values.browser && path.endsWith('-browser.ts')),
  )
  .filter((path) => words.length === 0 || words.some((word) => path.includes(word)))
  .sort((a, b) => expected(b) - expected(a));
if (files.length === 0) {
  process.stderr.write(`test: no test file matches ${words.join(' ')}\n`);
  process.exit(2);
}
const what = `${files.length} test files${values.long ? ', the long ones included' : ''}`;
process.stderr.write(`test: ${what}\n`);

const stopped = new AbortController();
setMaxListeners(0, stopped.signal);
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, () => {
    process.exitCode = 130;
    stopped.abort();
  });
}
// Names of places in stacks and reports are those of the sources. The files inherit it.
process.execArgv.push('--enable-source-maps');
process.chdir(root);
const events = run({
  files: files.map((path) => join(root, builtTest(path))),
  concurrency: 2,
  signal: stopped.signal,
  ...(values['test-name-pattern'] ? { testNamePatterns: values['test-name-pattern'] } : {}),
});

const took = new Map();
function note({ nesting, file, details }) {
  if (nesting !== 0 || file === undefined) return;
  const path = relative(root, file).split(sep).join('/');
  took.set(path, (took.get(path) ?? 0) + details.duration_ms);
}
events.on('test:pass', note);
events.on('test:fail', (test) => {
  note(test);
  if (test.todo === undefined || test.todo === false) process.exitCode ||= 1;
});
events.on('end', () => {
  if (values['test-name-pattern'] || stopped.signal.aborted) return;
  const all = { ...durations };
  for (const [path, duration] of took) all[path] = Math.round(duration);
  mkdirSync(dirname(record), { recursive: true });
  writeFileSync(record, JSON.stringify(all));
});
events.compose(new spec()).pipe(process.stdout);
