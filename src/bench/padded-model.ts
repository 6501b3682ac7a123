/**
 * Padded models in the cache folder, made when first needed and kept only if they pass the check: the
 * same tokens and the same logits, to the byte, as the model that they were made from.
 */
import { createHash } from 'node:crypto';
import { createReadStream, existsSync } from 'node:fs';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { PacelineError } from '../base/errors.js';
import { removeLeftovers } from '../base/leftovers.js';
import type { OnProgress } from '../base/progress.js';
import { loadModel } from '../engine/load.js';
import type { Model } from '../engine/model.js';
import { verifyPrompts } from '../engine/verify/prompts.js';
import { readGguf } from '../gguf/reader.js';
import { type Padding, planPadding, writePadded } from '../synthetic/padding.js';

/** Changes when the same model and shape would give other bytes. */
const recipe = 1;

/** How a padded model was compared with its source. */
export interface PaddingCheck {
  readonly texts: number;
  readonly tokens: number;
  readonly identical: true;
  /** Whether the logits were the same bytes too, at the end of every prompt. */
  readonly logits_identical: boolean;
}

export interface PaddedModel {
  readonly path: string;
  readonly padding: Padding;
  readonly check: PaddingCheck;
}

interface Options {
  readonly onProgress?: OnProgress;
  readonly signal?: AbortSignal;
}

/** SHA-256 of a file, in hexadecimal. */
async function hashOf(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex');
}

async function nameFor(cacheFolder: string, source: string, shape: string): Promise<string> {
  const folder = join(cacheFolder, 'padded');
  await mkdir(folder, { recursive: true });
  return join(folder, `${(await hashOf(source)).slice(0, 16)}-${shape}-${recipe}`);
}

/**
 * The model at `source`, padded to the cost of a shape.
 * @throws {PacelineError} `check-failed` when it says something else than its source, and what
 *   `writePadded` and loading throw.
 */
export async function paddedModel(
  cacheFolder: string,
  source: string,
  shape: string,
  options: Options = {},
): Promise<PaddedModel> {
  const name = await nameFor(cacheFolder, source, shape);
  const path = `${name}.gguf`;
  const record = `${name}.json`;
  if (existsSync(path) && existsSync(record)) {
    await using file = await readGguf(source, options);
    const check = JSON.parse(await readFile(record, 'utf8')) as PaddingCheck;
    return { path, padding: planPadding(file, shape), check };
  }
  await removeLeftovers(dirname(name), (entry) => {
    const [, pid] = /(\d+)\.unchecked\.gguf(?:\..*)?$/.exec(entry) ?? [];
    return pid === undefined ? undefined : Number(pid);
  });
  const unchecked = `${name}.${process.pid}.unchecked.gguf`;
  try {
    const padding = await writePadded(source, unchecked, shape, options);
    const check = await comparePadded(source, unchecked, options);
    await rename(unchecked, path);
    await writeFile(record, `${JSON.stringify(check)}\n`);
    return { path, padding, check };
  } finally {
    await rm(unchecked, { force: true });
  }
}

/**
 * The same weights in the form that the peer loads (see `PadOptions.as`).
 * @throws {PacelineError} as `writePadded`.
 */
export async function paddedForPeer(
  cacheFolder: string,
  source: string,
  shape: string,
  options: Options = {},
): Promise<string> {
  const path = `${await nameFor(cacheFolder, source, shape)}-openelm.gguf`;
  if (!existsSync(path)) await writePadded(source, path, shape, { ...options, as: 'openelm' });
  return path;
}

const texts: readonly { readonly temperature: number; readonly seed: number }[] = [
  { temperature: 0, seed: 0 },
  { temperature: 0.8, seed: 1 },
];
const promptCount = 6;
const tokensEach = 24;

interface Answer {
  readonly prompt: string;
  readonly temperature: number;
  readonly tokens: readonly number[];
}

/**
 * Compares what two models say, greedily and sampled.
 * @throws {PacelineError} `check-failed` on the first token that differs.
 */
export async function comparePadded(
  source: string,
  padded: string,
  options: Options = {},
  threads?: number,
): Promise<PaddingCheck> {
  const expected = await answers(source, options, threads);
  const found = await answers(padded, options, threads);
  let tokens = 0;
  for (const [index, answer] of expected.said.entries()) {
    const other = found.said[index]?.tokens ?? [];
    const at = answer.tokens.findIndex((token, position) => token !== other[position]);
    if (at >= 0 || other.length !== answer.tokens.length) {
      throw new PacelineError('check-failed', 'The padded model says something else', {
        hint: 'This is a bug in padding or in a kernel; please report it.',
        details: {
          prompt: answer.prompt,
          temperature: answer.temperature,
          position: at < 0 ? Math.min(other.length, answer.tokens.length) : at,
          expected: answer.tokens,
          found: other,
        },
      });
    }
    tokens += other.length;
  }
  return {
    texts: expected.said.length,
    tokens,
    identical: true,
    logits_identical: expected.logits.every(
      (row, index) => Buffer.compare(row, found.logits[index] ?? Buffer.alloc(0)) === 0,
    ),
  };
}

async function answers(path: string, options: Options, threads: number | undefined) {
  // Nothing else of the options: a benchmark's own mean other things to a model that is loaded.
  const { onProgress, signal } = options;
  await using model = await loadModel(path, {
    ...{ contextLength: 256, draftModels: [], onProgress, signal },
    ...(threads === undefined ? {} : { threads }),
  });
  const said: Answer[] = [];
  const logits: Buffer[] = [];
  for (const prompt of verifyPrompts.slice(0, promptCount)) {
    logits.push(await lastLogits(model, prompt));
    for (const { temperature, seed } of texts) {
      const { tokens } = await model.generate(prompt, {
        maxTokens: tokensEach,
        temperature,
        seed,
        draft: 'none',
        ...(signal === undefined ? {} : { signal }),
      });
      signal?.throwIfAborted();
      said.push({ prompt, temperature, tokens });
    }
  }
  return { said, logits };
}

async function lastLogits({ runtime, tokenizer }: Model, prompt: string): Promise<Buffer> {
  const text = runtime.createText();
  try {
    const { logits } = await runtime.prefill(text, tokenizer.encode(prompt));
    const row = logits.at(-1) ?? new Float32Array(0);
    return Buffer.from(new Uint8Array(row.buffer, row.byteOffset, row.byteLength));
  } finally {
    runtime.release(text);
  }
}
