/** Rows that other kernels have computed are never taken for one's own. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { appendFileSync, copyFileSync, cpSync, mkdirSync, symlinkSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { it } from 'node:test';
import { promisify } from 'node:util';
import { defaultModelPath } from '../../src/base/paths.js';
import { nativeLibraryFile } from '../../src/ggml/native/library.js';
import { repository } from '../support/repository.js';
import { temporaryFile } from '../support/tiny-model.js';

const program = `
import { loadModel } from './dist/src/index.js';
const [path, folder] = process.argv.slice(-2);
const model = await loadModel(path, { threads: 1, contextLength: 512, cache: { folder } });
const prompt = Array.from({ length: 300 }, (_, at) => 40 + ((at * 37) % 400));
const { cachedTokens } = await model.generate(prompt, { maxTokens: 1, temperature: 0 });
console.log(cachedTokens);
await model.dispose();
`;

it('another library of kernels finds nothing of what this one has saved', async () => {
  const library = nativeLibraryFile();
  if (library === undefined) return;
  const copy = temporaryFile('package');
  cpSync(join(repository, 'dist', 'src'), join(copy, 'dist', 'src'), { recursive: true });
  copyFileSync(join(repository, 'package.json'), join(copy, 'package.json'));
  symlinkSync(join(repository, 'node_modules'), join(copy, 'node_modules'));
  const other = join(copy, relative(repository, library));
  mkdirSync(dirname(other), { recursive: true });
  copyFileSync(library, other);
  const folder = temporaryFile('identities');
  const cached = async (cwd: string): Promise<number> => {
    const args = ['--input-type=module', '-e', program, '--', defaultModelPath(), folder];
    const { stdout } = await promisify(execFile)(process.execPath, args, { cwd });
    return Number(stdout);
  };
  assert.equal(await cached(repository), 0);
  // The same bytes at another place are the same kernels.
  assert.equal(await cached(copy), 299);
  // A byte behind the end of a library changes nothing that it computes, but its identity.
  appendFileSync(other, '\0');
  assert.equal(await cached(copy), 0);
  assert.equal(await cached(copy), 299);
  assert.equal(await cached(repository), 299);
});
