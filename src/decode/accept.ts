/**
 * Which guesses were right, and what the text gains: the loop that makes drafting lossless.
 *
 * Guarantees the same tokens, logprobs, text and finish as choosing one token at a time from the
 * same rows: row i is sampled exactly as plain decoding would sample it (position-keyed noise, the
 * history with the tokens before it), and a guess counts only if it equals that sample. Knows no
 * drafter by name, nor where the rows come from.
 */
import type { Chooser } from './chooser.js';
import type { SampledToken } from './sampler.js';
import type { FinishStep } from './stop.js';
import type { Logits } from './top-row.js';

export interface AcceptInput {
  /** Guesses d_1..d_m; empty for a plain step. */
  readonly drafts: ArrayLike<number>;
  /**
   * Logits of row i of the target's pass over [last token, d_1, ..., d_m]: what follows the last
   * token (i = 0) or d_i. Asked for in order, and only as far as needed. Undefined: the row decides
   * nothing, and the step ends before it.
   */
  readonly row: (index: number) => Logits | undefined;
  /** Of the text t_0..t_n; accepts the chosen tokens. */
  readonly chooser: Chooser;
  /** Sees every chosen token in order; a finish ends the step (`Finish` of stop.ts). */
  readonly finish: { push(token: number): FinishStep };
}

/** One token of the text, with everything a stream event says about it. */
export interface ChosenToken extends SampledToken, FinishStep {
  /** True if a drafter had proposed it. */
  readonly drafted: boolean;
}

export interface Accepted {
  /** At least one, unless the first row decides nothing. */
  readonly tokens: readonly ChosenToken[];
  /** How many of the guesses were right and used. */
  readonly accepted: number;
  /** Set if the text ended in this step. */
  readonly finish?: 'stop' | 'length';
}

/**
 * Chooses tokens until a guess is wrong, the guesses are used up, or the text ends. The caller
 * then cuts the target's state back to its length before the pass plus 1 + `accepted`: the rows
 * of the last token and of the right guesses stay, the others must go.
 * @throws {PacelineError} `bad-weights` at NaN logits; tokens chosen before it are in the text.
 */
export function acceptDrafts({ drafts, row, chooser, finish }: AcceptInput): Accepted {
  const tokens: ChosenToken[] = [];
  let accepted = 0;
  for (let i = 0; i <= drafts.length; i++) {
    const logits = row(i);
    if (logits === undefined) break;
    const sampled = chooser.choose(logits);
    const drafted = i < drafts.length && sampled.token === drafts[i];
    chooser.accept(sampled.token);
    const step = finish.push(sampled.token);
    tokens.push({ ...sampled, ...step, drafted });
    if (drafted) accepted += 1;
    if (step.finish !== undefined) return { tokens, accepted, finish: step.finish };
    if (!drafted) break;
  }
  return { tokens, accepted };
}

/** Row `index` of logits that lie one after another, `vocabularySize` floats each. */
export function rowsOf(logits: Float32Array, vocabularySize: number) {
  return (index: number): Float32Array =>
    logits.subarray(index * vocabularySize, (index + 1) * vocabularySize);
}
