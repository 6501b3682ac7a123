/**
 * One row of logits in, one token out: a pure function of (logits, history, settings, position).
 *
 * Order: constraint, logit bias, penalties, temperature, top-k, top-p, min-p; then Gumbel noise keyed by
 * (seed, position, token) and the argmax, which draws exactly from the softmax of what the filters
 * left. Temperature 0 is the argmax after bias and penalties. The lowest id wins every tie. So a
 * token never depends on how many rows were sampled before or on whether it was drafted.
 *
 * Log-probabilities are of the model itself: the log-softmax of the raw row, before bias,
 * penalties, temperature and filters (as llama.cpp and vLLM report them).
 */
import { PacelineError } from '../base/errors.js';
import { portableExp, portableLog } from '../base/portable-math.js';
import type { TokenMask } from '../constraint/constraint.js';
import { argmax, type Candidates, filterCandidates, selectTop } from './filters.js';
import { gumbelFromHigh, noiseHigh, noiseKey, rejectionBound } from './noise.js';
import type { SamplingSettings } from './sampling-settings.js';

export { argmax } from './filters.js';

export interface SampleContext {
  /** Absolute position of the token being chosen: the first after a prompt of n tokens has n. */
  readonly position: number;
  /** All tokens before it, prompt and output; only the penalty window is read. */
  readonly history: ArrayLike<number>;
  readonly settings: SamplingSettings;
  /** The tokens that may be chosen; undefined: all. */
  readonly mask?: TokenMask | undefined;
  /**
   * The token of each entry of the row, ascending, where it has some tokens' logits only; undefined: entry i
   * is token i.
   */
  readonly tokens?: Int32Array | undefined;
}

export interface TokenLogprob {
  readonly token: number;
  /** Natural logarithm of the model's probability. */
  readonly logprob: number;
}

export interface SampledToken {
  readonly token: number;
  /** Present if settings.logprobs is above 0. */
  readonly logprob?: number;
  /** The most likely tokens, best first; present if settings.logprobs is above 0. */
  readonly top?: readonly TokenLogprob[];
}

let adjusted = new Float32Array(0);
let counts = new Int32Array(0);
let best = new Int32Array(0);

/** Logits after mask, bias and penalties: the row itself where there are none, else a reused copy. */
export function adjustLogits(logits: Float32Array, context: SampleContext): Float32Array {
  const { history, settings, mask, tokens } = context;
  const { penaltyWindow } = settings;
  const penalised = penalises(settings) && history.length > 0;
  if (!penalised && settings.logitBias.size === 0 && mask === undefined) return logits;
  if (tokens !== undefined) return adjustSome(logits, tokens, context);
  const size = logits.length;
  if (adjusted.length < size) {
    adjusted = new Float32Array(size);
    counts = new Int32Array(size);
  }
  const row = adjusted.subarray(0, size);
  row.set(logits);
  if (mask !== undefined) applyMask(row, mask);
  for (const [token, bias] of settings.logitBias) {
    if (token < size) row[token] = (row[token] as number) + bias;
  }
  if (!penalised) return row;
  const from = penaltyWindow < 0 ? 0 : Math.max(0, history.length - penaltyWindow);
  for (let i = from; i < history.length; i++) {
    const token = history[i] as number;
    if (token >= 0 && token < size) counts[token] = (counts[token] as number) + 1;
  }
  for (let i = from; i < history.length; i++) {
    const token = history[i] as number;
    const count = counts[token] ?? 0;
    if (count === 0 || token >= size) continue; // seen already, or no token of this model
    counts[token] = 0;
    row[token] = penalise(row[token] as number, count, settings);
  }
  return row;
}

/** Whether penalties are set that change anything. */
export function penalises(settings: SamplingSettings): boolean {
  const { repetitionPenalty, presencePenalty, frequencyPenalty, penaltyWindow } = settings;
  const some = repetitionPenalty !== 1 || presencePenalty !== 0 || frequencyPenalty !== 0;
  return some && penaltyWindow !== 0;
}

/** The logit of a token that is `count` times in the window. */
function penalise(logit: number, count: number, settings: SamplingSettings): number {
  const { repetitionPenalty, presencePenalty, frequencyPenalty } = settings;
  const repeated = logit > 0 ? logit / repetitionPenalty : logit * repetitionPenalty;
  return repeated - count * frequencyPenalty - presencePenalty;
}

/** The same adjustments of some tokens' logits: a copy. */
function adjustSome(
  logits: Float32Array,
  tokens: Int32Array,
  { history, settings }: SampleContext,
): Float32Array {
  const { logitBias, penaltyWindow } = settings;
  const row = logits.slice();
  for (const [at, token] of tokens.entries()) {
    const bias = logitBias.get(token);
    if (bias !== undefined) row[at] = (row[at] as number) + bias;
  }
  if (!penalises(settings)) return row;
  const seen = new Map(Array.from(tokens, (token) => [token, 0]));
  const from = penaltyWindow < 0 ? 0 : Math.max(0, history.length - penaltyWindow);
  for (let i = from; i < history.length; i++) {
    const count = seen.get(history[i] as number);
    if (count !== undefined) seen.set(history[i] as number, count + 1);
  }
  for (const [at, token] of tokens.entries()) {
    const count = seen.get(token) ?? 0;
    if (count > 0) row[at] = penalise(row[at] as number, count, settings);
  }
  return row;
}

/** Bans the tokens that a mask has no bit for. */
function applyMask(row: Float32Array, mask: TokenMask): void {
  for (let word = 0; word * 32 < row.length; word++) {
    const bits = mask[word] ?? 0;
    if (bits === -1 >>> 0) continue;
    const start = word * 32;
    const end = Math.min(start + 32, row.length);
    if (bits === 0) row.fill(Number.NEGATIVE_INFINITY, start, end);
    else {
      for (let token = start; token < end; token++) {
        if (((bits >>> (token - start)) & 1) === 0) row[token] = Number.NEGATIVE_INFINITY;
      }
    }
  }
}

/** The candidate with the largest sum of scaled logit and noise, which is the token's. */
function drawWithNoise(candidates: Candidates, { settings, position, tokens }: SampleContext) {
  const { ids, scaled, count } = candidates;
  const key = noiseKey(settings.seed, position);
  let entry = -1;
  let score = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < count; i++) {
    const id = ids[i] as number;
    const s = scaled[i] as number;
    const high = noiseHigh(key, tokens === undefined ? id : (tokens[id] as number));
    // Most tokens of a large vocabulary cannot win: told by one table look-up, without logarithms.
    if (high < rejectionBound(score - s)) continue;
    const sum = s + gumbelFromHigh(key, high);
    if (sum > score || (sum === score && id < entry)) {
      score = sum;
      entry = id;
    }
  }
  return entry;
}

/**
 * Log-softmax of a raw row at one token, and the `count` most likely tokens, best first.
 * @throws {PacelineError} `bad-weights` at NaN or +Infinity.
 */
export function logprobsOf(
  logits: Float32Array,
  token: number,
  count: number,
): { logprob: number; top: TokenLogprob[] } {
  const largest = logits[argmax(logits)] as number;
  let sum = 0;
  for (let id = 0; id < logits.length; id++) sum += portableExp((logits[id] as number) - largest);
  const normaliser = largest + portableLog(sum);
  if (best.length < count) best = new Int32Array(count);
  const found = selectTop(logits, count, best);
  const top = Array.from(best.subarray(0, found), (id) => ({
    token: id,
    logprob: (logits[id] as number) - normaliser,
  }));
  top.sort((a, b) => b.logprob - a.logprob || a.token - b.token);
  return { logprob: (logits[token] as number) - normaliser, top };
}

/**
 * Chooses the token at `context.position` from the row of logits that the model gave for it.
 * The row is not changed. Not reentrant, and synchronous, so any number of texts may share it.
 * @param logits one row: vocabulary-size floats.
 * @throws {PacelineError} `bad-weights` at NaN or +Infinity; `usage` if the bias bans every token.
 */
export function sampleToken(logits: Float32Array, context: SampleContext): SampledToken {
  const { settings } = context;
  const row = adjustLogits(logits, context);
  const token = row === logits ? chooseEntry(row, context) : chooseAdjusted(row, logits, context);
  if (settings.logprobs === 0) return { token };
  return { token, ...logprobsOf(logits, token, settings.logprobs) };
}

/** The chosen entry of adjusted logits. @throws {PacelineError} `bad-weights` at NaN or +Infinity. */
export function chooseEntry(row: Float32Array, context: SampleContext): number {
  const { settings } = context;
  if (isGreedy(settings)) return argmax(row);
  return drawWithNoise(filterCandidates(row, settings), context);
}

/** Whether the largest logit is taken. */
export function isGreedy({ temperature, topK }: SamplingSettings): boolean {
  return temperature === 0 || topK === 1;
}

/** Tells a bias or constraint that banned every token from broken weights. */
function chooseAdjusted(row: Float32Array, logits: Float32Array, context: SampleContext): number {
  try {
    return chooseEntry(row, context);
  } catch (error) {
    argmax(logits); // throws if the model's own row is the cause
    const field = context.mask === undefined ? 'logitBias' : 'constraint';
    const what = context.mask === undefined ? 'logit bias' : 'constraint';
    throw new PacelineError('usage', `The ${what} leaves no token that can be chosen`, {
      hint: 'Ban fewer tokens, and keep every bias and penalty finite.',
      details: { field },
      cause: error,
    });
  }
}
