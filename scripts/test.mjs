/**
 * `npm test`: set-up, then every `test/**\/*.test.ts` with Node's own test runner.
 * Usage: node scripts/test.mjs [--long] [words of paths ...] [-- options of node --test]
 * `--long` adds `test/**\/*.long.ts`; words keep only the files whose path contains one of them.
 */
import { filesUnder } from './lib/fingerprint.mjs';
import { run } from './lib/process.mjs';
import { setupOrExit } from './setup.mjs';

const given = process.argv.slice(2);
const long = given.includes('--long');
const options = given.filter((word) => word.startsWith('--') && word !== '--long' && word !== '--');
const words = given.filter((word) => !word.startsWith('--'));

await setupOrExit();
const files = filesUnder('test')
  .filter((path) => path.endsWith('.test.ts') || (long && path.endsWith('.long.ts')))
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
