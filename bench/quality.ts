/**
 * What mixes of few bits cost on real models: each is quantised from a file as people have it by `paceline quantize`,
 * with and without an importance matrix, and compared with that file on a held-out text: nats a token, and the mean
 * divergence D(source || mix). All figures are exact: they do not depend on what else the machine does. Prints JSON.
 *
 *     npx tsx bench/quality.ts [--models smollm2,gemma3|FILE...] [--mixes Q3_K_M,Q2_K,...] [--text FILE,...]
 *       [--calibration FILE,...] [--chunks N] [--calibration-chunks N] [--threads N]
 *
 * The real models are those of `npm run real-models`. Text and calibration must not overlap; by default they are
 * halves of `bench/texts`, code and Markdown in each.
 */
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import { cacheFolder } from '../src/base/paths.js';

const run = promisify(execFile);
const here = fileURLToPath(new URL('.', import.meta.url));
const cli = fileURLToPath(new URL('../src/cli/main.ts', import.meta.url));
const texts = (names: readonly string[]) =>
  names.map((name) => join(here, 'texts', `${name}.txt`)).join();

const { values } = parseArgs({
  options: {
    models: { type: 'string', default: 'smollm2,gemma3' },
    mixes: { type: 'string', default: 'Q3_K_M,Q2_K,IQ3_XXS,IQ2_S,IQ2_XS,IQ2_XXS,IQ1_S' },
    text: { type: 'string', default: texts(['mqtt.md', 'unified.md', 'atom.ts', 'store.ts']) },
    calibration: {
      type: 'string',
      default: texts(['redux.md', 'apply-middleware.ts', 'bind-action-creators.ts']),
    },
    chunks: { type: 'string', default: '100' },
    'calibration-chunks': { type: 'string', default: '100' },
    threads: { type: 'string' },
  },
});

const realModels: Readonly<Record<string, string>> = {
  smollm2: 'smollm2-135m-instruct-q4_1.gguf',
  gemma3: 'gemma-3-270m-q4_k_m.gguf',
};
const ctx = ['--ctx', '256'];
const threads = values.threads === undefined ? [] : ['--threads', values.threads];

async function paceline<T>(...words: readonly string[]): Promise<T> {
  const options = { maxBuffer: 2 ** 28 };
  const { stdout } = await run(
    process.execPath,
    [...process.execArgv, cli, ...words, ...threads, '--json'],
    options,
  );
  return JSON.parse(stdout) as T;
}

interface Estimate {
  readonly mean: number;
}
interface Quantized {
  readonly output: string;
  readonly bits_per_weight: number;
  readonly bytes: number;
  readonly tensors: readonly {
    readonly to: string;
    readonly bytes: number;
    readonly instead_of?: string;
  }[];
}
interface Measured {
  readonly nats: Estimate;
  readonly scored: number;
  readonly against: {
    readonly nats: Estimate;
    readonly divergence: Estimate & { readonly p99: number };
    readonly same_top: number;
  };
}

/** One mix of a model. An error, such as a type that needs the matrix, is its row. */
async function measure(
  model: string,
  mix: string,
  { imatrix, text, folder }: { imatrix: string | undefined; text: string; folder: string },
) {
  const output = join(folder, 'mix.gguf');
  const matrix = imatrix === undefined ? [] : ['--imatrix', imatrix];
  const head = { mix, imatrix: imatrix !== undefined };
  try {
    const options = ['--allow-requantize', '--force', ...matrix];
    const made = await paceline<Quantized>('quantize', model, mix, output, ...options);
    const chunks = ['--chunks', values.chunks, ...ctx];
    const words = ['--text', text, '--against', model, ...chunks];
    const found = await paceline<Measured>('perplexity', output, ...words);
    const { nats, scored, against } = found;
    const types: Record<string, number> = {};
    for (const { to, bytes } of made.tensors) types[to] = (types[to] ?? 0) + bytes;
    return {
      ...head,
      ...{ bits: made.bits_per_weight, bytes: made.bytes, types, scored },
      too_short_rows: made.tensors.filter((one) => one.instead_of !== undefined).length,
      ...{ nats: nats.mean, source_nats: against.nats.mean },
      more: nats.mean - against.nats.mean,
      divergence: against.divergence.mean,
      divergence_p99: against.divergence.p99,
      same_top: against.same_top,
    };
  } catch (error) {
    const { stderr, message } = error as { stderr?: string; message: string };
    return { ...head, refused: (stderr || message).trim().split('\n')[0] };
  }
}

const contents = (files: string) =>
  files
    .split(',')
    .map((file) => readFileSync(file, 'utf8'))
    .join('\n');
const folder = mkdtempSync(join(tmpdir(), 'paceline-quality-'));
try {
  const text = join(folder, 'text.txt');
  const calibration = join(folder, 'calibration.txt');
  writeFileSync(text, contents(values.text));
  writeFileSync(calibration, contents(values.calibration));
  const models = [];
  for (const name of values.models.split(',')) {
    const known = realModels[name];
    const model = known === undefined ? name : join(cacheFolder(), 'real-models', known);
    const imatrix = join(folder, 'imatrix.gguf');
    const reading = ['--chunks', values['calibration-chunks'], ...ctx];
    await paceline('imatrix', model, '--text', calibration, '--output', imatrix, ...reading);
    const rows = [];
    for (const mix of values.mixes.split(',')) {
      for (const matrix of [undefined, imatrix]) {
        const row = await measure(model, mix, { imatrix: matrix, text, folder });
        console.error(JSON.stringify({ model: basename(model), ...row }));
        rows.push(row);
      }
    }
    models.push({ model: basename(model), rows });
  }
  console.log(JSON.stringify({ models }, null, 2));
} finally {
  rmSync(folder, { recursive: true });
}
