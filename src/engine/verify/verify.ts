/**
 * Proof, on the user's own machine and model, that nothing but (model, prompt, settings, seed)
 * decides a text. Every case is generated once plainly, alone, in one prefill chunk; then again in
 * every other way. Tokens must be the same, and on the CPU the logits too, to the byte.
 */
import { throwIfAborted } from '../../base/errors.js';
import type { OnProgress } from '../../base/progress.js';
import type { Model } from '../model.js';
import type { DraftKind } from '../types.js';
import { type CacheHistory, traceText, type VerifyCase, type VerifyWay } from './run.js';
import { compareTraces, type Divergence, type Trace } from './trace.js';

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
  /** For devices that are not batch-invariant: report rows that differ, fail on nothing. */
  readonly tokensOnly?: boolean;
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
}

export interface VerifyOutcome {
  readonly identical: boolean;
  readonly texts: number;
  readonly rows: number;
  readonly variations: readonly VerifiedVariation[];
  /** The first differences, at most 20. */
  readonly differences: readonly VerifyDifference[];
}

const mostDifferences = 20;

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
}

/** Runs the check. @throws {PacelineError} `aborted`, and what loading and generating throw. */
export async function verifyModel(options: VerifyOptions): Promise<VerifyOutcome> {
  const { open, threads, maxTokens, signal, onProgress } = options;
  const differences: VerifyDifference[] = [];
  const tallies = new Map<string, Tally>();
  const references: Reference[] = [];
  const plain: VerifyWay = { draft: 'none', prefillChunk: 4096, neighbours: 0, cache: 'fresh' };

  const compare = async (model: Model, reference: Reference, { name, way }: Variation) => {
    throwIfAborted(signal);
    const { trace, draft } = await traceText(model, reference.text, way, maxTokens, signal);
    const tally = tallies.get(name) ?? new Tally();
    tallies.set(name, tally);
    tally.texts++;
    tally.rows += trace.rows.length;
    tally.drafted += draft.drafted;
    tally.accepted += draft.accepted;
    const divergence = compareTraces(reference.trace, trace, options.tokensOnly);
    if (divergence === undefined) return;
    tally.differences++;
    const { temperature, seed } = reference.text;
    const where = { variation: name, prompt: reference.prompt, temperature, seed };
    if (differences.length < mostDifferences) differences.push({ ...divergence, ...where });
  };

  for (const [index, count] of threads.entries()) {
    await using model = await open(count);
    const texts = casesOf(model, options);
    const variations = index === 0 ? variationsOf(model, options, plain) : [];
    const total = texts.length * (index === 0 ? variations.length + 1 : 1);
    let done = 0;
    const step = () =>
      onProgress?.({ task: `verify with ${count} threads`, done: done++, total, unit: 'steps' });
    for (const [at, { prompt, text }] of texts.entries()) {
      step();
      if (index === 0) {
        throwIfAborted(signal);
        const { trace } = await traceText(model, text, plain, maxTokens, signal);
        references.push({ prompt, text, trace });
      }
      const reference = references[at];
      if (reference === undefined) continue;
      if (index > 0) await compare(model, reference, { name: `threads ${count}`, way: plain });
      for (const variation of variations) {
        step();
        await compare(model, reference, variation);
      }
    }
  }
  const variations = [...tallies].map(([variation, tally]) => ({ variation, ...tally }));
  return {
    identical: differences.length === 0,
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
