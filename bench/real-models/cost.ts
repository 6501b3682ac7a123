/**
 * What caches of i16 and q8_0 and integer products cost: a model's predictions of a text against those
 * of the same weights in F32 with a cache of F32, and against libllama's on the same file. The rows are
 * those of `paceline perplexity MODEL --kv TYPE --against F32 --against-kv f32`, at the same places of the
 * same text; here every model reads a chunk before the next chunk comes, so that nobody reads twice.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  type Distribution,
  distribution,
  divergence,
  type Estimate,
  mean,
  normalise,
} from '../../src/bench/divergence.js';
import { chunksOf, Evaluator, usualChunk } from '../../src/bench/evaluator.js';
import type { KvType } from '../../src/index.js';
import { Oracle } from '../../test/oracle/libllama.js';

export interface CostOptions {
  readonly path: string;
  /** The same weights in F32. */
  readonly exact: string;
  /** The folder whose `.txt` files, one behind the other by name, are the text. */
  readonly texts: string;
  /** The most chunks to read. */
  readonly chunks: number;
  readonly threads: number;
  readonly onStep: (done: number, total: number) => void;
}

/** The text that `paceline perplexity --text` would be given. */
export function wholeText(folder: string): string {
  const files = readdirSync(folder).filter((name) => name.endsWith('.txt'));
  return files
    .sort()
    .map((name) => readFileSync(join(folder, name), 'utf8'))
    .join('');
}

interface Reader extends Disposable {
  readonly weights: string;
  readonly kv: string;
  /** The logits after each token from place `from` on. */
  rows(chunk: readonly number[], from: number): AsyncIterable<Float32Array>;
}

interface Row {
  readonly weights: string;
  readonly kv: string;
  readonly nats: Estimate;
  /** D(F32 || this) and D(libllama || this), and how often the likeliest token is the same. */
  readonly from_f32: Distribution & { readonly same_top: number };
  readonly from_libllama: Distribution & { readonly same_top: number };
}

const kvTypes: readonly KvType[] = ['f32', 'i16', 'f16', 'q8_0'];

/** One row a reader: F32 and the file as it is with each cache, then libllama. */
export async function measureCost(options: CostOptions) {
  const readers: Reader[] = [];
  try {
    const reference = await ours(options, 'F32', options.exact, 'f32');
    readers.push(reference);
    for (const kv of kvTypes.slice(1)) readers.push(await ours(options, 'F32', options.exact, kv));
    for (const kv of kvTypes) readers.push(await ours(options, 'as in the file', options.path, kv));
    readers.push(libllama(options));
    const { tokenizer } = reference.evaluator;
    const chunks = chunksOf(tokenizer, wholeText(options.texts), usualChunk);
    return await score(readers, chunks.slice(0, options.chunks), options);
  } finally {
    for (const reader of readers) reader[Symbol.dispose]();
  }
}

async function ours({ threads }: CostOptions, weights: string, path: string, kv: KvType) {
  const options = { contextLength: usualChunk, kvType: kv, threads };
  const evaluator = await Evaluator.open(path, options);
  return {
    ...{ weights, kv, evaluator },
    rows: (chunk: readonly number[], from: number) => evaluator.logits(chunk, from),
    [Symbol.dispose]: () => evaluator.dispose(),
  };
}

function libllama({ path, threads }: CostOptions): Reader {
  const oracle = new Oracle(path, { contextLength: usualChunk, threads });
  return {
    ...{ weights: 'libllama', kv: 'f16' },
    async *rows(chunk, from) {
      oracle.clear();
      yield* oracle.decode(chunk).slice(from);
    },
    [Symbol.dispose]: () => oracle[Symbol.dispose](),
  };
}

interface Scores {
  readonly nats: number[];
  /** From F32, from libllama. */
  readonly distances: readonly [number[], number[]];
  readonly same: [number, number];
}

interface Predicted {
  readonly row: Float32Array;
  readonly logSum: number;
  readonly best: number;
}

async function score(
  readers: readonly Reader[],
  chunks: readonly (readonly number[])[],
  { onStep }: CostOptions,
) {
  const from = usualChunk / 2;
  const all = readers.map((): Scores => ({ nats: [], distances: [[], []], same: [0, 0] }));
  const total = chunks.length * readers.length;
  for (const [index, chunk] of chunks.entries()) {
    // The two references first: everybody is held against their rows.
    const order = [0, readers.length - 1, ...readers.slice(1, -1).map((_, at) => at + 1)];
    const kept: (readonly Predicted[])[] = [];
    for (const [turn, at] of order.entries()) {
      onStep(index * readers.length + turn, total);
      const reader = readers[at] as Reader;
      const scores = all[at] as Scores;
      const rows: Predicted[] = [];
      for await (const row of reader.rows(chunk, from)) {
        const place = rows.length;
        if (from + place + 1 >= chunk.length) break;
        // Rows are overwritten when the next is asked for.
        const own = { row: turn < 2 ? row.slice() : row, ...normalise(row) };
        rows.push(own);
        scores.nats.push(own.logSum - (row[chunk[from + place + 1] as number] as number));
        for (const [side, reference] of kept.entries())
          compare(scores, side, reference[place], own);
      }
      if (turn < 2) kept.push(rows);
      if (turn === 1) compareReferences(all[0] as Scores, scores, kept);
    }
  }
  const places = all[0]?.nats.length ?? 0;
  const rows = readers.map(({ weights, kv }, at): Row => {
    const { nats, distances, same } = all[at] as Scores;
    const [fromF32, fromLibllama] = distances;
    return {
      weights,
      kv,
      nats: mean(nats),
      from_f32: { ...distribution(fromF32), same_top: same[0] / places },
      from_libllama: { ...distribution(fromLibllama), same_top: same[1] / places },
    };
  });
  return { chunks: chunks.length, scored: places, rows };
}

function compare(
  { distances, same }: Scores,
  side: number,
  reference: Predicted | undefined,
  own: Predicted,
): void {
  if (reference === undefined) return;
  distances[side]?.push(divergence(reference.row, reference.logSum, own.row, own.logSum));
  if (reference.best === own.best) same[side as 0 | 1]++;
}

/** Each against itself is 0; F32 was read before there was anything to hold it against. */
function compareReferences(
  f32: Scores,
  theirs: Scores,
  [first = [], second = []]: readonly (readonly Predicted[])[],
): void {
  for (const [place, own] of first.entries()) {
    compare(f32, 0, own, own);
    compare(f32, 1, second[place], own);
    compare(theirs, 1, second[place], second[place] as Predicted);
  }
}
