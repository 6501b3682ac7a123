/**
 * What decides a text besides model and prompt: the settings of sampling.
 *
 * `resolveSampling` turns what a caller gave into checked, complete, frozen settings; everything
 * below relies on that and checks nothing again. Knows nothing of stop strings or token limits
 * (see stop.ts): those end a text, they do not choose tokens.
 */
import { z } from 'zod';
import { checkOptions, field, wholeNumber, wrongOption } from '../base/options.js';
import { isRecord } from '../base/records.js';
import { defaultSampling, type SamplingSettings } from './sampling-settings.js';

/** What a caller may give: any part; logit bias also as a plain object with token ids as keys. */
export type SamplingInput = {
  readonly [K in Exclude<keyof SamplingSettings, 'logitBias'>]?: SamplingSettings[K] | undefined;
} & {
  readonly logitBias?: ReadonlyMap<number, number> | Readonly<Record<string, number>> | undefined;
};

/** The most logprobs that one token can be asked for: more would be a dump of the vocabulary. */
export const maxLogprobs = 100;

const large = 1e6;
const count = (least: number, say: string) => wholeNumber(least, say, 2 ** 31 - 1);
const between = (least: number, most: number, say: string) =>
  field(z.number().min(least).max(most), say);

/** The sampling options, one schema field each: what checks them, and what they are said to take. */
export const samplingFields = {
  temperature: between(0, large, 'a number, 0 or more'),
  topK: count(0, 'a whole number, 0 (off) or more'),
  topP: between(0, 1, 'a number from 0 to 1 (off)'),
  minP: between(0, 1, 'a number from 0 (off) to 1'),
  repetitionPenalty: field(z.number().gt(0).max(large), 'a number above 0 (1 is off)'),
  presencePenalty: between(-large, large, 'a number (0 is off)'),
  frequencyPenalty: between(-large, large, 'a number (0 is off)'),
  penaltyWindow: count(-1, 'a whole number: -1 (all tokens), 0 (off) or more'),
  logitBias: field(
    z.custom<NonNullable<SamplingInput['logitBias']>>(isRecord),
    'a map from token id to number',
  ),
  seed: wholeNumber(-1, 'a whole number from 0 to 2^53 - 1, or -1 for a random one'),
  logprobs: wholeNumber(0, `a whole number from 0 (off) to ${maxLogprobs}`, maxLogprobs),
} as const;

const samplingSchema = z.object(samplingFields);

function checkBias(
  input: SamplingInput['logitBias'],
  vocabularySize: number | undefined,
): ReadonlyMap<number, number> {
  if (input === undefined) return defaultSampling.logitBias;
  const pairs = input instanceof Map ? [...input] : Object.entries(input);
  const bias = new Map<number, number>();
  for (const [key, value] of pairs) {
    const token = typeof key === 'number' ? key : /^\d{1,10}$/.test(key) ? Number(key) : Number.NaN;
    if (!Number.isInteger(token) || token < 0 || token >= (vocabularySize ?? 2 ** 31)) {
      const limit = vocabularySize === undefined ? '' : ` below ${vocabularySize}`;
      throw wrongOption('logitBias', `keyed by token ids${limit}`, key);
    }
    if (typeof value !== 'number' || !(value <= large)) {
      throw wrongOption('logitBias', `a map to numbers (token ${token})`, value);
    }
    bias.set(token, value);
  }
  return bias;
}

/**
 * What a caller gave, with a model's recommendation under it. Who gives a temperature has chosen how to
 * sample: recommended penalties are then left out, so that temperature 0 is the model's own likeliest
 * text.
 */
export function withRecommended<T extends SamplingInput>(given: T, recommended: SamplingInput): T {
  const defined = Object.fromEntries(
    Object.entries(given).filter(([, value]) => value !== undefined),
  ) as T;
  const { repetitionPenalty, penaltyWindow, ...rest } = recommended;
  const penalties = given.temperature === undefined ? { repetitionPenalty, penaltyWindow } : {};
  return { ...rest, ...penalties, ...defined };
}

/** A random seed of 48 bits: short enough to be typed again. */
export function randomSeed(): number {
  const words = crypto.getRandomValues(new Uint16Array(3));
  return (words[0] ?? 0) * 2 ** 32 + (words[1] ?? 0) * 2 ** 16 + (words[2] ?? 0);
}

/**
 * Checks what a caller gave and fills in the defaults.
 * @param options.vocabularySize refuses biases beyond it; unknown when undefined.
 * @param options.randomSeed where the seed comes from when the caller gave none (or -1).
 * @throws {PacelineError} `usage`; `details.field` names the setting.
 */
export function resolveSampling(
  input: SamplingInput = {},
  options: { readonly vocabularySize?: number; readonly randomSeed?: () => number } = {},
): SamplingSettings {
  const { seed = -1, logitBias, ...given } = checkOptions(samplingSchema, input, 'sampling');
  const chosen = Object.entries(given).filter(([, value]) => value !== undefined);
  return Object.freeze({
    ...defaultSampling,
    ...Object.fromEntries(chosen),
    logitBias: checkBias(logitBias, options.vocabularySize),
    seed: seed === -1 ? (options.randomSeed ?? randomSeed)() : seed,
  });
}
