/**
 * `npm test`: set-up, then every `test/**\/*.test.ts` with Node's own test runner.
 * Usage: node scripts/test.mjs [--long] [--browser] [words of paths ...] [-- options of node --test]
 * `--long` adds `test/**\/*.long.ts`, `--browser` the `*-browser.ts`, which need Chromium; words
 * keep only the files whose path contains one of them.
 */
import { filesUnder } from './lib/fingerprint.mjs';
import { run } from './lib/process.mjs';
import { setupOrExit } from './setup.mjs';

const given = process.argv.slice(2);
const long = given.includes('--long');
const browser = given.includes('--browser');
const own = ['--long', '--browser', '--'];
const options = given.filter((word) => word.startsWith('--') && !own.includes(word));
const words = given.filter((word) => !word.startsWith('--'));

await setupOrExit();
const files = filesUnder('test')
  .filter(
    (path) =>
      path.endsWith('.test.ts') ||
      (long && path.endsWith('.long.ts')) ||
      (browser && path.endsWith('-browser.ts')),
  )
  .filter((path) => words.length === 0 || words.some((word) => path.includes(word)));
if (files.length === 0) {
  process.stderr.write(`test: no test file matches ${words.join(' ')}\n`);
  process.exit(2);
}
process.stderr.write(`test: ${files.length} test files${long ? ', the long ones included' : ''}\n`);
const runner = ['--import', 'tsx', '--test', '--test-concurrency=2', '--test-reporter=spec'];
const { code } = await run(process.execPath, [...runner, ...options, ...files], {
  stdout: 'inherit',
});
process.exitCode = code;
