/**
 * Choosing from the largest logits of a row: the very choice that the whole row gives, or none. Top-k
 * needs no others, and penalties and biases that only lower logits bring none up: so a choice stands if
 * the k-th largest of what they leave is above everything that is not here. A tie with that would be decided
 * by tokens that are not here.
 */
import { adjustLogits, chooseEntry, isGreedy, penalises, type SampleContext } from './sampler.js';
import type { SamplingSettings } from './sampling-settings.js';
import { isSureOf, largestOf } from './sure.js';
import type { TopRow } from './top-row.js';

/** Most tokens that penalties are expected to have lowered: one text repeats few in a long window. */
const mostPenalised = 128;

/** How many logits the filters read: those of top-k; undefined: all. */
function wanted(settings: SamplingSettings): number | undefined {
  if (isGreedy(settings)) return 1;
  return settings.topK > 0 ? settings.topK : undefined;
}

/**
 * How many of a row's largest logits most likely decide; undefined where the settings need the whole row.
 */
export function topNeeded(settings: SamplingSettings): number | undefined {
  const { logitBias, logprobs, penaltyWindow } = settings;
  const count = wanted(settings);
  if (count === undefined || logprobs > 0) return undefined;
  if ([...logitBias.values()].some((bias) => !(bias <= 0))) return undefined;
  let lowered = logitBias.size;
  if (penalises(settings)) {
    const { repetitionPenalty, presencePenalty, frequencyPenalty } = settings;
    if (repetitionPenalty < 1 || presencePenalty < 0 || frequencyPenalty < 0) return undefined;
    lowered += penaltyWindow < 0 ? mostPenalised : Math.min(penaltyWindow, mostPenalised);
  }
  return count + lowered + 1;
}

/** The choice; undefined where only the whole row tells it. @throws {PacelineError} as `sampleToken`. */
export function sampleTop(top: TopRow, context: SampleContext): number | undefined {
  const { settings, mask } = context;
  const count = wanted(settings);
  if (mask !== undefined || count === undefined || topNeeded(settings) === undefined)
    return undefined;
  const some = { ...context, tokens: top.tokens };
  const row = adjustLogits(top.logits, some);
  // With no more than top-k of them, filters would not be asked for k.
  if (row.length <= count || !(largestOf(row, count) > top.most)) return undefined;
  return top.tokens[chooseEntry(row, some)];
}

/** `isSure` of the whole row; undefined where only that tells it. */
export function isTopSure(top: TopRow, context: SampleContext, bound: number): boolean | undefined {
  if (sampleTop(top, context) === undefined) return undefined;
  return isSureOf(top.logits, { ...context, tokens: top.tokens }, bound, top.most);
}
