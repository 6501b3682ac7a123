/**
 * What a store is worth after its process was killed: a child generates and saves until it is killed
 * at some moment; then everything that the store offers must be right, and the text the same.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { checkStore } from '../../../src/cache/store/admin.js';
import { writeGguf } from '../../../src/gguf/writer.js';
import { loadModel } from '../../../src/index.js';
import { type RandomModelOptions, randomModel } from '../../../src/synthetic/random-model.js';
import { repository } from '../../support/repository.js';
import { temporaryFile } from '../../support/tiny-model.js';

const child = `
import { loadModel } from './dist/src/index.js';
const [path, folder, seed] = process.argv.slice(-3);
const model = await loadModel(path, { threads: 1, contextLength: 1024, cache: { folder, blockTokens: 64 } });
console.log('ready');
for (let round = 0; ; round++) {
  const prompt = Array.from({ length: 200 + 50 * (round % 5) }, (_, at) => 40 + ((at * 37 + Math.floor(at / 150) * round) % 200));
  await model.generate(prompt, { temperature: 1, seed: Number(seed) + round, maxTokens: 40, draft: 'none' });
}
`;

const longPrompt = Array.from({ length: 1000 }, (_, at) => 40 + ((at * at * 7 + at * 3) % 200));

/** Reads a part of a prompt in slices, as a text does, and waits to be killed when all of that is saved. */
const reader = `
import { Boundaries } from './dist/src/engine/boundaries.js';
import { loadModel } from './dist/src/index.js';
const [path, folder, tokens, prompt] = process.argv.slice(-4);
const { runtime } = await loadModel(path, { threads: 1, contextLength: 1024, cache: { folder, blockTokens: 64 } });
const text = runtime.createText();
const saver = runtime.cache.follow(text, new Boundaries(4000, [], 256));
const part = JSON.parse(prompt).slice(0, Number(tokens));
for (let start = 0; start < part.length; start += 48) {
  const slice = part.slice(start, start + 48);
  await runtime.run(text, slice);
  saver.committed(slice.length, { prefill: true });
}
await runtime.cache.store.flush();
console.log('saved');
setInterval(() => {}, 1000);
`;

/** A model, and where its texts are saved. */
export interface Writer {
  /** Path of the model, or `default`. */
  readonly path: string;
  readonly folder: string;
}

/** A small random model whose state is of another kind than rows, by its architecture. */
export async function smallModel(kind: RandomModelOptions): Promise<string> {
  const path = temporaryFile(`killed-${kind.architecture}.gguf`);
  const shape = { layers: 4, embedding: 64, heads: 2, kvHeads: 1, headDim: 64, inner: 64 };
  await writeGguf(path, randomModel({ ...shape, vocab: 331, context: 1024, ...kind }));
  return path;
}

/**
 * Kills a child that saves, so many milliseconds after it has loaded its model. It runs what `npm test`
 * has built.
 */
export async function killWriter(
  { path, folder }: Writer,
  seed: number,
  afterMs: number,
): Promise<void> {
  await killAfter(child, [path, folder, String(seed)], afterMs);
}

/** Kills a child in the middle of a prompt, of which it has read and saved so many tokens. */
export async function killReader({ path, folder }: Writer, tokens: number): Promise<void> {
  await killAfter(reader, [path, folder, String(tokens), JSON.stringify(longPrompt)], 0);
}

async function killAfter(program: string, args: readonly string[], afterMs: number): Promise<void> {
  const options = ['--input-type=module', '-e', program, '--', ...args];
  const writer = spawn(process.execPath, options, {
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

/** Reads the whole prompt of `killReader`; how many of its tokens another process has saved. */
export async function readAgain({ path, folder }: Writer): Promise<number> {
  const cache = { folder, blockTokens: 64 };
  await using model = await loadModel(path, { threads: 1, contextLength: 1024, cache });
  return (await model.generate(longPrompt, { ...settings, maxTokens: 1 })).cachedTokens;
}

const prompt = Array.from({ length: 300 }, (_, at) => 40 + ((at * 37) % 200));
const settings = { temperature: 1, seed: 5, maxTokens: 20, draft: 'none' } as const;

/** The text that a model without a store gives. */
export async function expectedTokens(path: string): Promise<readonly number[]> {
  await using model = await loadModel(path, { threads: 1, contextLength: 1024 });
  return (await model.generate(prompt, settings)).tokens;
}

/** Checks every file, then goes on from what is there; says how many tokens that were. */
export async function checkAfterKill(
  { path, folder }: Writer,
  expected: readonly number[],
): Promise<number> {
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
  await using model = await loadModel(path, { threads: 1, contextLength: 1024, cache });
  const { tokens, cachedTokens } = await model.generate(prompt, settings);
  assert.deepEqual(tokens, expected);
  assert.deepEqual(warnings, []);
  return cachedTokens;
}
