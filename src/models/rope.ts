/**
 * Rotary position embedding as a model's metadata describes it: base, scaling (linear, YaRN,
 * LongRoPE) and the tensors that divide the frequencies.
 */
import type { RopeOptions } from '../ggml/graph.js';
import type { Weight } from '../ggml/weight.js';
import type { Metadata } from './metadata.js';
import type { AttentionShape, Hyperparameters } from './model.js';
import type { WeightLoader } from './weights.js';

const scalingTypes = ['none', 'linear', 'yarn', 'longrope'] as const;
type Scaling = (typeof scalingTypes)[number];

export interface Rope extends RopeOptions {
  readonly scaling: Scaling;
}

export interface RopeReading {
  /** Elements of the heads that are rotated; default: of those of the first layer. */
  readonly keyLength?: number;
  /** Whether the file says how YaRN's range and magnitude differ from the usual. */
  readonly tuned?: boolean;
}

/**
 * @throws {PacelineError} `broken-file` for an unknown scaling, or more dimensions than a head has.
 */
export function readRope(
  m: Metadata,
  h: Hyperparameters,
  pairs: RopeOptions['pairs'],
  reading: RopeReading = {},
): Rope {
  const { keyLength = (h.attention[0] as AttentionShape).keyLength, tuned = false } = reading;
  // The others, if there are any, pass as they are.
  const dimensions = m.count('rope.dimension_count', keyLength);
  if (dimensions > keyLength || dimensions % 2 !== 0) {
    const problem = `is ${dimensions}; of heads of ${keyLength} an even number can be rotated`;
    throw m.bad('rope.dimension_count', problem);
  }
  const scaling = (m.string('rope.scaling.type') ?? 'linear') as Scaling;
  if (!scalingTypes.includes(scaling)) {
    throw m.bad('rope.scaling.type', `is ${scaling}, which is not supported`);
  }
  const factor = m.notNegative('rope.scaling.factor', m.notNegative('rope.scale_linear', 0));
  if (factor > 0 && !(factor >= 1e-6)) throw m.bad('rope.scaling.factor', `is ${factor}`);
  const scale = factor === 0 || scaling === 'none' ? 1 : 1 / factor;
  return {
    dimensions,
    pairs,
    base: m.positive('rope.freq_base', 10000),
    scale,
    scaling,
    yarn: scaling === 'yarn' ? 1 : 0,
    // ggml multiplies by YaRN's 1 + 0.1 ln(factor) itself.
    magnitude:
      m.positive('rope.scaling.attn_factor', 1) *
      (tuned && scaling === 'yarn' ? tunedMagnitude(m, scale) : 1),
    betaFast: tuned ? m.positive('rope.scaling.yarn_beta_fast', 32) : 32,
    betaSlow: tuned ? m.positive('rope.scaling.yarn_beta_slow', 1) : 1,
    originalContext: m.count('rope.scaling.original_context_length', h.contextLength),
  };
}

/** YaRN's magnitude grows with the logarithm of the factor, times so much. */
export function yarnMagnitude(scale: number, multiplier: number): number {
  return scale >= 1 ? 1 : 1 + 0.1 * multiplier * Math.log(1 / scale);
}

/** What to multiply YaRN's usual magnitude by where the scores' scale has a part of it. */
function tunedMagnitude(m: Metadata, scale: number): number {
  const multiplier = m.notNegative('rope.scaling.yarn_log_multiplier', 0);
  return multiplier === 0 ? 1 : 1 / yarnMagnitude(scale, multiplier);
}

/**
 * What a user has to know of a model's positions: with LongRoPE, the context that it is loaded for
 * decides over the frequencies, and so over the text.
 */
export function ropeWarnings(m: Metadata, w: WeightLoader): readonly string[] {
  const { contextLength } = w;
  if (w.find(longFactors) === undefined) return [];
  const original = m.count('rope.scaling.original_context_length', m.count('context_length'));
  const long = contextLength > original;
  return [
    `This model has LongRoPE: with a context of ${contextLength} it computes with its ` +
      `${long ? 'long' : 'short'} factors; a context of ` +
      `${long ? `${original} or less` : `more than ${original}`} gives other texts.`,
  ];
}

/**
 * Refuses models that rotate by several positions at once, as those that see pictures do.
 * @throws {PacelineError} `unsupported-architecture`.
 */
export function refuseSections(m: Metadata): void {
  const key = 'rope.dimension_sections';
  if (m.has(key)) throw m.unsupported(key, 'positions in sections');
}

const longFactors = 'rope_factors_long.weight';
const shortFactors = 'rope_factors_short.weight';

/**
 * The tensor that divides the frequencies: Llama 3's `rope_freqs`, or for LongRoPE the long or
 * short factors, depending on the context that the model is loaded for.
 */
export function ropeFactors(w: WeightLoader, rope: Rope): Weight | undefined {
  const shape = [rope.dimensions / 2];
  if (rope.scaling !== 'longrope') return w.optionalVector('rope_freqs.weight', shape);
  w.skip(longFactors, shortFactors); // one of them is not read
  const long = w.contextLength > rope.originalContext;
  return w.optionalVector(long ? longFactors : shortFactors, shape);
}
