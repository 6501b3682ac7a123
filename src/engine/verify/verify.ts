/**
 * Proof, on the user's own machine and model, that nothing but (model, prompt, settings, seed)
 * decides a text. Every case is generated once plainly, alone, in one prefill chunk; then again in
 * every other way. Tokens must be the same, and on the CPU the logits too, to the byte.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { throwIfAborted } from '../../base/errors.js';
import type { OnProgress } from '../../base/progress.js';
import type { Model } from '../model.js';
import { openTextCache } from '../open-cache.js';
import type { DraftKind } from '../types.js';
import { type CacheHistory, traceText, type VerifyCase, type VerifyWay } from './run.js';
import { compareClosely, compareTraces, type Divergence, type Flip, type Trace } from './trace.js';

export interface VerifyOptions {
  /** Opens the model with so many threads; the check disposes of it. */
  readonly open: (threads: number) => Promise<Model>;
  readonly prompts: readonly string[];
  readonly temperatures: readonly number[];
  readonly seeds: readonly number[];
  readonly maxTokens: number;
  /** Thread counts; the first is the reference's. */
  readonly threads: readonly number[];
  /** Prefill chunks besides the reference's single one. */
  readonly chunks: readonly number[];
  /** Only these drafters instead of all that the model has, and `auto`. */
  readonly drafts?: readonly DraftKind[] | undefined;
  /** Compare tokens, and not logits. */
  readonly tokensOnly?: boolean;
  /**
   * For devices and paths whose logits depend on the batch: logits may differ by so much. How often
   * they do, and where that decides a token, is reported and is no fault.
   */
  readonly tolerance?: number | undefined;
  /** The model was loaded with `exact`: then no draft may flip a token, whatever is tolerated. */
  readonly exact?: boolean | undefined;
  readonly onProgress?: OnProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface VerifyDifference extends Divergence {
  /** What was varied: `draft ngram`, `chunk 7`, `3 neighbours`, `threads 1`, `cache forked`. */
  readonly variation: string;
  readonly prompt: string;
  readonly temperature: number;
  readonly seed: number;
}

export interface VerifiedVariation {
  readonly variation: string;
  readonly texts: number;
  /** Rows of logits compared. */
  readonly rows: number;
  readonly differences: number;
  readonly drafted: number;
  readonly accepted: number;
  /** With a tolerance: rows that are not the same to the byte, by how much, and tokens that flipped. */
  readonly differingRows?: number;
  readonly largestDifference?: number;
  readonly flips?: number;
}

export interface VerifyFlip extends Flip {
  readonly variation: string;
  readonly prompt: string;
  readonly temperature: number;
  readonly seed: number;
}

/** What rounding does where logits depend on the batch. */
export interface NearTies {
  readonly tolerance: number;
  /** Rows compared: of each text up to its first flip. */
  readonly rows: number;
  readonly differingRows: number;
  readonly largestDifference: number;
  /** Texts that went on with another token. */
  readonly flips: number;
  /** The first flips, at most 100. */
  readonly list: readonly VerifyFlip[];
}

export interface VerifyOutcome {
  /** To the byte, whatever is allowed. */
  readonly identical: boolean;
  /** Whether all is as it must be: identical, or within the tolerance. */
  readonly passed: boolean;
  readonly nearTies?: NearTies;
  readonly texts: number;
  readonly rows: number;
  readonly variations: readonly VerifiedVariation[];
  /** The first differences, at most 20. */
  readonly differences: readonly VerifyDifference[];
}

const mostDifferences = 20;
const mostFlips = 100;

interface Variation {
  readonly name: string;
  readonly way: VerifyWay;
}

interface Reference {
  readonly prompt: string;
  readonly text: VerifyCase;
  readonly trace: Trace;
}

class Tally {
  texts = 0;
  rows = 0;
  differences = 0;
  drafted = 0;
  accepted = 0;
  differingRows = 0;
  largestDifference = 0;
  flips = 0;
}

/** Runs the check. @throws {PacelineError} `aborted`, and what loading and generating throw. */
export async function verifyModel(options: VerifyOptions): Promise<VerifyOutcome> {
  const folder = await mkdtemp(join(tmpdir(), 'paceline-verify-'));
  try {
    return await verifyWith(options, folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** @param folder for the cache on the disk. */
async function verifyWith(options: VerifyOptions, folder: string): Promise<VerifyOutcome> {
  const { open, threads, maxTokens, signal, onProgress } = options;
  const { tolerance } = options;
  const differences: VerifyDifference[] = [];
  const flips: VerifyFlip[] = [];
  const tallies = new Map<string, Tally>();
  const references: Reference[] = [];
  const plain: VerifyWay = { draft: 'none', prefillChunk: 4096, neighbours: 0, cache: 'fresh' };

  const compare = async (model: Model, reference: Reference, { name, way }: Variation) => {
    throwIfAborted(signal);
    const { trace, draft } = await traceText(model, reference.text, way, maxTokens, signal);
    const tally = tallies.get(name) ?? new Tally();
    tallies.set(name, tally);
    tally.texts++;
    tally.drafted += draft.drafted;
    tally.accepted += draft.accepted;
    const { temperature, seed } = reference.text;
    const where = { variation: name, prompt: reference.prompt, temperature, seed };
    let divergence: Divergence | undefined;
    if (tolerance === undefined) {
      tally.rows += trace.rows.length;
      divergence = compareTraces(reference.trace, trace, options.tokensOnly);
    } else {
      const { rows, differing, largest, flip, fault } = compareClosely(
        reference.trace,
        trace,
        tolerance,
      );
      tally.rows += rows;
      tally.differingRows += differing;
      tally.largestDifference = Math.max(tally.largestDifference, largest);
      if (flip !== undefined) tally.flips++;
      if (flip !== undefined && flips.length < mostFlips) flips.push({ ...flip, ...where });
      const strict = options.exact === true && way.draft !== 'none' && way.neighbours === 0;
      divergence = fault ?? (strict && flip ? { kind: 'token', ...flip } : undefined);
    }
    if (divergence === undefined) return;
    tally.differences++;
    if (differences.length < mostDifferences) differences.push({ ...divergence, ...where });
  };

  for (const [index, count] of threads.entries()) {
    await using model = await open(count);
    const texts = casesOf(model, options);
    // Other copies of the model find what the first one has saved.
    const store = await openTextCache(model.runtime, model.info, { folder, blockTokens: 64 });
    model.runtime.cache = store; // which closes it
    const fromDisk: VerifyWay = { ...plain, cache: 'from disk', store };
    const variations =
      index === 0
        ? [...variationsOf(model, options, plain), { name: 'cache from disk', way: fromDisk }]
        : [
            { name: `threads ${count}`, way: plain },
            { name: `threads ${count}, cache from disk`, way: fromDisk },
          ];
    const total = texts.length * (variations.length + (index === 0 ? 1 : 0));
    let done = 0;
    const step = () =>
      onProgress?.({ task: `verify with ${count} threads`, done: done++, total, unit: 'steps' });
    for (const [at, { prompt, text }] of texts.entries()) {
      if (index === 0) {
        step();
        throwIfAborted(signal);
        const { trace } = await traceText(model, text, plain, maxTokens, signal);
        references.push({ prompt, text, trace });
      }
      const reference = references[at];
      if (reference === undefined) continue;
      for (const variation of variations) {
        step();
        await compare(model, reference, variation);
      }
    }
  }
  const sum = (value: (tally: Tally) => number): number =>
    [...tallies.values()].reduce((total, tally) => total + value(tally), 0);
  const variations = [...tallies].map(([variation, tally]): VerifiedVariation => {
    const { differingRows, largestDifference, flips: count, ...always } = tally;
    const closely = { differingRows, largestDifference, flips: count };
    return { variation, ...always, ...(tolerance === undefined ? {} : closely) };
  });
  const differingRows = sum((tally) => tally.differingRows);
  return {
    identical: differences.length === 0 && differingRows === 0,
    passed: differences.length === 0,
    ...(tolerance === undefined
      ? {}
      : {
          nearTies: {
            tolerance,
            rows: sum(({ rows }) => rows),
            differingRows,
            largestDifference: Math.max(...variations.map((v) => v.largestDifference ?? 0)),
            flips: sum((tally) => tally.flips),
            list: flips,
          },
        }),
    texts: references.length,
    rows: variations.reduce((sum, { rows }) => sum + rows, 0),
    variations,
    differences,
  };
}

function casesOf(model: Model, { prompts, temperatures, seeds }: VerifyOptions) {
  return prompts.flatMap((prompt) => {
    const encoded = model.tokenizer.encode(prompt);
    return temperatures.flatMap((temperature) =>
      // Greedy text has no use for a seed.
      (temperature === 0 ? seeds.slice(0, 1) : seeds).map((seed) => ({
        prompt,
        text: { prompt: encoded, temperature, seed },
      })),
    );
  });
}

function variationsOf(model: Model, options: VerifyOptions, plain: VerifyWay): Variation[] {
  const { drafterSources } = model.runtime;
  const drafts =
    options.drafts ??
    ([...drafterSources.map(({ name }) => name), 'auto'] as readonly string[] as DraftKind[]);
  const histories: readonly CacheHistory[] = ['reused prefix', 'truncated', 'forked'];
  const strongest = drafts[0] ?? 'none';
  return [
    ...drafts.map((draft) => ({ name: `draft ${draft}`, way: { ...plain, draft } })),
    ...options.chunks.map((prefillChunk) => ({
      name: `prefill chunk ${prefillChunk}`,
      way: { ...plain, prefillChunk },
    })),
    ...histories.map((cache) => ({ name: `cache ${cache}`, way: { ...plain, cache } })),
    { name: '3 neighbours', way: { ...plain, neighbours: 3 } },
    {
      name: `3 neighbours, draft ${strongest}`,
      way: { ...plain, neighbours: 3, draft: strongest },
    },
  ];
}
