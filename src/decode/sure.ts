/**
 * Whether a choice would be the same from any logits near these: what `exact` asks on devices whose
 * rounding depends on what is computed together. Conservative: it may doubt a choice that is safe.
 */
import { filterCandidates, selectTop } from './filters.js';
import { adjustLogits, chooseEntry, isGreedy, type SampleContext } from './sampler.js';
import type { SamplingSettings } from './sampling-settings.js';

/**
 * @param logits one row.
 * @param bound how far each logit may be off, 0 or more.
 * @throws {PacelineError} as `sampleToken`.
 */
export function isSure(logits: Float32Array, context: SampleContext, bound: number): boolean {
  // Nothing is missing of a whole row.
  return isSureOf(logits, { ...context, tokens: undefined }, bound, -Infinity) ?? false;
}

/**
 * The same from some of a row's logits, those of `context.tokens`, of which no other is larger than
 * `most`; undefined where that does not tell what the whole row would.
 */
export function isSureOf(
  logits: Float32Array,
  context: SampleContext,
  bound: number,
  most: number,
): boolean | undefined {
  const { settings } = context;
  if (bound === 0) return true;
  const row = Float32Array.from(adjustLogits(logits, context));
  const token = chooseEntry(row, context);
  const { repetitionPenalty: penalty } = settings;
  // A penalty multiplies errors as it does logits. Two logits move by twice the error against each other.
  const apart = 2 * bound * Math.max(1, penalty, 1 / penalty);
  const worst = Float32Array.from(row);
  worst[token] = (worst[token] as number) - apart;
  const clear = (least: number) => most === -Infinity || least > most;
  if (isGreedy(settings)) {
    if (!clear(row[token] as number)) return undefined;
    if (chooseEntry(worst, context) !== token) return false;
    return clear(worst[token] as number) ? true : undefined;
  }
  if (most !== -Infinity && !clear(largestOf(row, settings.topK) - apart)) return undefined;
  const tight = { ...settings, topP: movedShare(settings, apart) };
  const { ids, count } = filterCandidates(worst, tight);
  if (!ids.subarray(0, count).includes(token)) return false;
  const least = leastPossible(row, settings, apart);
  if (!clear(least)) return undefined;
  for (let id = 0; id < row.length; id++) {
    if (id !== token && (row[id] as number) < least) worst[id] = Number.NEGATIVE_INFINITY;
  }
  const unfiltered = { ...settings, topK: 0, topP: 1, minP: 0 };
  return chooseEntry(worst, { ...context, settings: unfiltered }) === token;
}

/** The smallest logit that some filter's moving bound may let through. */
function leastPossible(row: Float32Array, settings: SamplingSettings, apart: number): number {
  const { temperature, topK, minP } = settings;
  const { ids, count } = filterCandidates(row, {
    temperature,
    topK: topK > 0 && topK < row.length ? atLeast(row, topK, apart) : 0,
    topP: movedShare(settings, -apart),
    minP: minP * Math.exp(-apart / temperature),
  });
  let least = Number.POSITIVE_INFINITY;
  for (let at = 0; at < count; at++) least = Math.min(least, row[ids[at] as number] as number);
  // Below the last one of top-p another may come before it.
  return least - apart;
}

/** Top-p, with the share that it leaves out larger by what weights may move (`apart` above 0), or smaller. */
function movedShare({ topP, temperature }: SamplingSettings, apart: number): number {
  return topP >= 1 ? 1 : Math.max(0, 1 - (1 - topP) * Math.exp(apart / temperature));
}

/** How many logits are no further than `apart` below the k-th largest. */
function atLeast(row: Float32Array, k: number, apart: number): number {
  const least = largestOf(row, k) - apart;
  return row.reduce((count, logit) => (logit >= least ? count + 1 : count), 0);
}

/** The k-th largest of a row; -Infinity where it has fewer. */
export function largestOf(row: Float32Array, k: number): number {
  if (k > row.length) return Number.NEGATIVE_INFINITY;
  const heap = new Int32Array(k);
  selectTop(row, k, heap);
  return row[heap[0] as number] as number;
}
