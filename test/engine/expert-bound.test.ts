/** The memory that experts take stays within its bound: resident memory of a process, on Linux. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { writeShapeModel } from '../../src/synthetic/shape-model.js';
import { shapeOf } from '../../src/synthetic/shapes.js';
import { temporaryFile } from '../support/tiny-model.js';

const run = promisify(execFile);
const program = fileURLToPath(new URL('../support/expert-memory-program.ts', import.meta.url));

interface Outcome {
  readonly tokens: readonly number[];
  readonly most: number;
  readonly held: number;
  readonly experts: { readonly held: number; readonly found: number; readonly asked: number };
  readonly info: { readonly memory: number; readonly whole: number };
}

async function generate(file: string, bytes: number): Promise<Outcome> {
  const words = ['--expose-gc', '--import', 'tsx', program, file, String(bytes)];
  const { stdout } = await run(process.execPath, words);
  return JSON.parse(stdout) as Outcome;
}

it('memory for experts stays within its bound, and so does that of the process', async () => {
  assert.equal(process.platform, 'linux', 'elsewhere resident memory is not told');
  const file = temporaryFile('bound.gguf');
  const shape = { ...shapeOf('olmoe-1b-7b'), layers: 1, inner: 512, vocab: 512 };
  await writeShapeModel(file, shape, 'q8_0');
  const all = await generate(file, 1e9);
  const { whole } = all.info;
  const rest = all.held - whole;
  const bound = Math.floor(whole / 2);
  const some = await generate(file, bound);
  assert.deepEqual(some.tokens, all.tokens);
  assert.ok(some.info.memory <= bound && some.info.memory > 0.9 * bound);
  assert.ok(some.experts.found < some.experts.asked, 'experts are read again');
  const over = (some.held - rest - bound) / bound;
  assert.ok(over < 0.03, `${(100 * over).toFixed(1)}% over a bound of ${bound}`);
});
