/**
 * What a store is worth after its process was killed: a child generates and saves until it is killed
 * at some moment; then everything that the store offers must be right, and the text the same.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { checkStore } from '../../../src/cache/store/admin.js';
import { loadModel } from '../../../src/index.js';
import { repository } from '../../support/repository.js';

const child = `
import { loadModel } from './dist/src/index.js';
const [folder, seed] = process.argv.slice(-2);
const model = await loadModel('default', { threads: 1, contextLength: 1024, cache: { folder, blockTokens: 64 } });
console.log('ready');
for (let round = 0; ; round++) {
  const prompt = Array.from({ length: 200 + 50 * (round % 5) }, (_, at) => 40 + ((at * 37 + Math.floor(at / 150) * round) % 400));
  await model.generate(prompt, { temperature: 1, seed: Number(seed) + round, maxTokens: 40, draft: 'none' });
}
`;

/**
 * Kills a child that saves into `folder`, so many milliseconds after it has loaded its model. It runs
 * what `npm test` has built.
 */
export async function killWriter(folder: string, seed: number, afterMs: number): Promise<void> {
  const args = ['--input-type=module', '-e', child, '--', folder, String(seed)];
  const writer = spawn(process.execPath, args, {
    cwd: repository,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await new Promise<void>((resolve, reject) => {
    writer.on('error', reject);
    writer.on('exit', () => resolve());
    writer.stdout.once('data', () => setTimeout(() => writer.kill('SIGKILL'), afterMs));
  });
  assert.equal(writer.signalCode, 'SIGKILL', 'it ran until it was killed');
}

const prompt = Array.from({ length: 300 }, (_, at) => 40 + ((at * 37) % 400));
const settings = { temperature: 1, seed: 5, maxTokens: 20, draft: 'none' } as const;

/** The text that a model without a store gives. */
export async function expectedTokens(): Promise<readonly number[]> {
  await using model = await loadModel('default', { threads: 1, contextLength: 1024 });
  return (await model.generate(prompt, settings)).tokens;
}

/** Checks every file, then goes on from what is there; says how many tokens that were. */
export async function checkAfterKill(folder: string, expected: readonly number[]): Promise<number> {
  const { broken } = await checkStore(folder);
  assert.deepEqual(broken, []);
  const warnings: string[] = [];
  const cache = {
    folder,
    blockTokens: 64,
    onWarning: (text: string): void => {
      warnings.push(text);
    },
  };
  await using model = await loadModel('default', { threads: 1, contextLength: 1024, cache });
  const { tokens, cachedTokens } = await model.generate(prompt, settings);
  assert.deepEqual(tokens, expected);
  assert.deepEqual(warnings, []);
  return cachedTokens;
}
